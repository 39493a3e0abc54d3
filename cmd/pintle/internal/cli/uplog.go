package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// patience is how long a start may print nothing before it says what the log
// complains of.
const patience = 10 * time.Second

// logWatch passes on what is written to it. When nothing comes for a while it
// writes the newest warning of a log, once.
type logWatch struct {
	mu   sync.Mutex // guards out and told
	out  io.Writer
	told string

	log    string
	offset int64  // where the log of this start begins
	self   string // how the user calls this program
	timer  *time.Timer
}

func watchLog(out io.Writer, log string, offset int64, self string) *logWatch {
	w := &logWatch{out: out, log: log, offset: offset, self: self}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(patience, w.tell)
	return w
}

func (w *logWatch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(patience)
	return w.out.Write(b)
}

func (w *logWatch) stop() { w.timer.Stop() }

func (w *logWatch) tell() {
	b, err := readFrom(w.log, w.offset)
	if err != nil {
		return // the log's path is printed in the end
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(patience)
	line := lastWarning(string(b))
	if line == "" || line == w.told {
		return
	}
	w.told = line
	fmt.Fprintf(w.out, "  … still waiting; the log says: %s\n", line)
	if hint := lockedOut(line, w.self); hint != "" {
		fmt.Fprintf(w.out, "    %s\n", hint)
	}
}

// lastWarning returns the newest line at WARN or ERROR of a log, from its
// message on.
func lastWarning(log string) string {
	for lines := strings.Split(log, "\n"); len(lines) > 0; lines = lines[:len(lines)-1] {
		line := lines[len(lines)-1]
		if !strings.Contains(line, " level=WARN ") && !strings.Contains(line, " level=ERROR ") {
			continue
		}
		if _, message, ok := strings.Cut(line, " msg="); ok {
			return message
		}
	}
	return ""
}

var policyOf = regexp.MustCompile(`admission policy \\?"([a-z0-9.-]+)\\?"`)

// lockedOut says how to open a cluster whose policy refuses what a start needs.
func lockedOut(line, self string) string {
	m := policyOf.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return fmt.Sprintf("a policy refuses it: `%[1]s plugin remove %[2]s`, or `%[1]s down` and `%[1]s up --disable-plugin %[2]s`", self, m[1])
}

func fileSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// readFrom reads a file from an offset on, its last 64 KiB at most.
func readFrom(path string, offset int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size := fileSize(path); size-offset > 64<<10 {
		offset = size - 64<<10
	}
	return io.ReadAll(io.NewSectionReader(f, offset, 64<<10))
}
