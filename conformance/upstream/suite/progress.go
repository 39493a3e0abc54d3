package suite

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// every is how often a line of progress is written.
const every = 15 * time.Second

// progress reads what ginkgo prints when several specs run at a time: a dot •
// for each that passed, and for others a line that begins with one and says
// how it ended. It is not safe for concurrent use.
type progress struct {
	out   io.Writer
	now   func() time.Time
	begun time.Time
	told  time.Time

	total, done, failed int

	half   []byte // of a rune that the last Write cut
	line   strings.Builder
	dots   bool // the line has only dots so far
	dotted bool // the line began with one
}

func newProgress(out io.Writer, now func() time.Time) *progress {
	return &progress{out: out, now: now, begun: now(), told: now(), dots: true}
}

var (
	willRun = regexp.MustCompile(`^Will run (\d+) of \d+ specs`)
	badEnd  = regexp.MustCompile(`^\s*\[(FAILED|PANICKED|TIMEDOUT|INTERRUPTED)\]`)
)

// Write never fails.
func (p *progress) Write(b []byte) (int, error) {
	text := append(p.half, b...)
	for utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		p.read(r)
	}
	p.half = append([]byte(nil), text...)
	if p.total > 0 && p.now().Sub(p.told) >= every {
		p.tell()
	}
	return len(b), nil
}

func (p *progress) read(r rune) {
	switch {
	case r == '\n':
		p.endLine()
	case p.dots && r == '•':
		p.done++
		p.dotted = true
	default:
		p.dots = false
		if p.line.Len() < 200 {
			p.line.WriteRune(r)
		}
	}
}

func (p *progress) endLine() {
	line := p.line.String()
	if m := willRun.FindStringSubmatch(line); m != nil {
		p.total, _ = strconv.Atoi(m[1])
	}
	if p.dotted && badEnd.MatchString(line) {
		p.failed++
	}
	p.line.Reset()
	p.dots, p.dotted = true, false
}

// tell writes a line: done, failed, left, time.
func (p *progress) tell() {
	p.told = p.now()
	passed := p.told.Sub(p.begun)
	left := ""
	if p.done > 0 && p.done < p.total {
		left = fmt.Sprintf(", about %s more", (passed * time.Duration(p.total-p.done) / time.Duration(p.done)).Round(time.Second))
	}
	fmt.Fprintf(p.out, "%4d of %d done, %d failed, %d left, %s%s\n", p.done, p.total, p.failed, p.total-p.done, passed.Round(time.Second), left)
}

// end writes the last line.
func (p *progress) end() {
	if p.total > 0 {
		p.tell()
	}
}
