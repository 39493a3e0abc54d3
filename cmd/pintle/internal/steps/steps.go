// Package steps shows the progress of a long command. The process that works
// reports steps; the process at the terminal prints them. They are the same
// process or joined by a pipe of JSON lines.
package steps

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Step is one line of progress.
type Step struct {
	Name   string        `json:"name"`
	Detail string        `json:"detail,omitempty"`
	Took   time.Duration `json:"took,omitempty"`
	// Failed carries the error and what to do about it.
	Failed string `json:"failed,omitempty"`
	// Ready ends the stream: everything is up.
	Ready bool `json:"ready,omitempty"`
}

// Reporter writes steps as JSON lines. The zero Reporter and a nil one discard
// them. It is safe for concurrent use.
type Reporter struct {
	mu    sync.Mutex
	w     io.Writer
	now   func() time.Time
	last  time.Time
	ready bool // was reported; guarded by mu
}

// NewReporter reports to w; the time a step took is counted from the step
// before.
func NewReporter(w io.Writer, now func() time.Time) *Reporter {
	return &Reporter{w: w, now: now, last: now()}
}

// Done reports a finished step.
func (r *Reporter) Done(name, format string, args ...any) {
	r.send(Step{Name: name, Detail: fmt.Sprintf(format, args...)})
}

// Fail reports the step that failed, and with it the process.
func (r *Reporter) Fail(name string, err error) { r.send(Step{Name: name, Failed: err.Error()}) }

// Ready reports that everything is up.
func (r *Reporter) Ready() { r.send(Step{Name: "ready", Ready: true}) }

// IsReady tells that Ready was called: what fails now is not the start.
func (r *Reporter) IsReady() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}

func (r *Reporter) send(s Step) {
	if r == nil || r.w == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = r.ready || s.Ready
	now := r.now()
	s.Took, r.last = now.Sub(r.last), now
	b, err := json.Marshal(s)
	if err != nil {
		return
	}
	// A reader that went away (the terminal was closed) must not stop the server.
	_, _ = r.w.Write(append(b, '\n'))
}

// Follow prints steps from r until one is Ready or Failed, or r ends. It
// returns the failure as an error.
func Follow(r io.Reader, out io.Writer) error {
	sc := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for sc.Scan() {
		var s Step
		if err := json.Unmarshal(sc.Bytes(), &s); err != nil {
			return fmt.Errorf("read progress: %w", err)
		}
		if s.Ready {
			return nil
		}
		Print(out, s)
		if s.Failed != "" {
			return fmt.Errorf("%s: %s", s.Name, s.Failed)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read progress: %w", err)
	}
	return io.ErrUnexpectedEOF
}

// Print writes one step as a line.
func Print(out io.Writer, s Step) {
	if s.Failed != "" {
		fmt.Fprintf(out, "  ✗ %s\n", s.Name)
		return
	}
	took := ""
	if s.Took >= 10*time.Millisecond {
		took = fmt.Sprintf("%5.1fs", s.Took.Seconds())
	}
	fmt.Fprintf(out, "  ✓ %-14s %6s  %s\n", s.Name, took, s.Detail)
}

// Terminal turns steps written to it into lines for people.
func Terminal(out io.Writer) io.Writer { return terminal{out} }

type terminal struct{ out io.Writer }

// Write takes whole JSON lines, as a Reporter writes them.
func (t terminal) Write(b []byte) (int, error) {
	var s Step
	if err := json.Unmarshal(b, &s); err != nil {
		return 0, err
	}
	if !s.Ready {
		Print(t.out, s)
	}
	return len(b), nil
}
