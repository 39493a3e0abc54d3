// Package output takes what a plugin prints: it logs lines and keeps the end for
// the message of a fault. How much may be logged is bounded by [Limit], for each
// plugin and for all.
package output

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

const (
	tailSize   = 8 << 10 // how much of what a guest printed goes into a fault's message
	reasonSize = 2 << 10
	lineSize   = 4 << 10 // longer lines are cut
)

// Writer is the standard output and error of one instance. It is safe for
// concurrent use.
type Writer struct {
	Log *slog.Logger // nil logs nothing

	mu     sync.Mutex
	tail   []byte // the rest is guarded by mu
	reason []byte // from the first line that says why a Go program dies
	line   []byte
}

// Write implements io.Writer and never fails.
func (o *Writer) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
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

func (o *Writer) keep(b []byte) {
	if room := lineSize - len(o.line); len(b) > room {
		b = b[:max(room, 0)]
	}
	o.line = append(o.line, b...)
}

// crashPrefixes begin the line in which a Go program says why it dies; a dump of
// all goroutines follows, which is longer than what is kept.
var crashPrefixes = []string{"panic: ", "fatal error: ", "runtime: out of memory", "runtime/cgo: pthread_create failed", "runtime: failed to create new OS thread"}

func (o *Writer) flush() {
	if len(o.reason) > 0 {
		if len(o.reason) < reasonSize {
			o.reason = append(append(o.reason, '\n'), o.line...)
		}
	} else {
		for _, prefix := range crashPrefixes {
			if bytes.HasPrefix(o.line, []byte(prefix)) {
				o.reason = append(o.reason, o.line...)
				break
			}
		}
	}
	if o.Log != nil && len(o.line) > 0 {
		o.Log.LogAttrs(context.Background(), slog.LevelInfo, "plugin output", slog.String("line", string(o.line)))
	}
	o.line = o.line[:0]
}

// Begin starts a call: a fault's message holds what the call printed.
func (o *Writer) Begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail, o.reason = o.tail[:0], o.reason[:0]
}

// Message is why the program says it died, or else the end of what it printed
// in this call.
func (o *Writer) Message() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.reason) > 0 {
		return strings.TrimSpace(string(o.reason))
	}
	s := string(o.tail)
	if len(s) > tailSize {
		s = s[len(s)-tailSize:]
	}
	return strings.TrimSpace(s)
}
