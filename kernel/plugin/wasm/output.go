package wasm

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
)

const (
	tailSize  = 8 << 10 // how much of what a guest printed goes into a fault's message
	lineSize  = 4 << 10 // longer lines are cut
	lineLimit = 200     // lines logged per call; more are counted
)

// output takes what a guest prints: it is logged line by line, and its end is
// kept for the message of a fault.
type output struct {
	log     *slog.Logger
	tail    []byte
	line    []byte
	lines   int
	dropped int
}

// Write implements io.Writer and never fails.
func (o *output) Write(b []byte) (int, error) {
	o.tail = append(o.tail, b...)
	if len(o.tail) > 2*tailSize {
		o.tail = append(o.tail[:0], o.tail[len(o.tail)-tailSize:]...)
	}
	for rest := b; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			o.keep(rest)
			break
		}
		o.keep(rest[:i])
		o.flush()
		rest = rest[i+1:]
	}
	return len(b), nil
}

func (o *output) keep(b []byte) {
	if room := lineSize - len(o.line); len(b) > room {
		b = b[:max(room, 0)]
	}
	o.line = append(o.line, b...)
}

func (o *output) flush() {
	if o.lines++; o.lines > lineLimit {
		o.dropped++
	} else if o.log != nil && len(o.line) > 0 {
		o.log.LogAttrs(context.Background(), slog.LevelInfo, "plugin output", slog.String("line", string(o.line)))
	}
	o.line = o.line[:0]
}

// begin starts a call: a fault's message holds what the call printed.
func (o *output) begin() {
	if o.dropped > 0 && o.log != nil {
		o.log.Warn("plugin output dropped", "lines", o.dropped)
	}
	o.tail, o.lines, o.dropped = o.tail[:0], 0, 0
}

// message is the end of what the guest printed in this call, shortened to the
// reason of a Go panic when there is one.
func (o *output) message() string {
	s := string(o.tail)
	if len(s) > tailSize {
		s = s[len(s)-tailSize:]
	}
	if i := strings.Index(s, "panic: "); i >= 0 {
		s = s[i:]
	} else if i := strings.Index(s, "fatal error: "); i >= 0 {
		s = s[i:]
	}
	return strings.TrimSpace(s)
}
