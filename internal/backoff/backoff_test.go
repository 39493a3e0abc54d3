package backoff_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/internal/backoff"
)

func TestPausesGrowToTheLongest(t *testing.T) {
	p := backoff.Policy{First: 100 * time.Millisecond, Max: time.Second}
	for n, want := range []time.Duration{100, 100, 200, 400, 800, 1000, 1000} {
		want *= time.Millisecond
		seen := map[time.Duration]bool{}
		for range 50 {
			got := p.Pause(n)
			if got > want || got < want*3/4 {
				t.Errorf("failure %d: a pause of %s, want %s less a quarter at most", n, got, want)
			}
			seen[got] = true
		}
		if len(seen) == 1 {
			t.Errorf("failure %d: no jitter", n)
		}
	}
	if got := p.Pause(1 << 20); got > p.Max || got < p.Max*3/4 {
		t.Errorf("after a million failures: %s", got)
	}
}

// No number of failures makes a long pause none at all.
func TestPausesStayLong(t *testing.T) {
	for _, first := range []time.Duration{time.Millisecond, 10 * time.Second, time.Minute} {
		p := backoff.Policy{First: first, Max: 10 * time.Minute}
		for n := 21; n < 100; n++ {
			if got := p.Pause(n); got > p.Max || got < p.Max*3/4 {
				t.Errorf("first %s, failure %d: a pause of %s", first, n, got)
			}
		}
	}
}

// TestOneLinePerStateChange: a thing that fails for hours fills no log.
func TestOneLinePerStateChange(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	r := backoff.New(time.Millisecond, time.Second)
	r.Succeeded(log)
	for i := range 500 {
		r.Failed(log, "pod not ended", errors.New("task 4f"+strings.Repeat("1", i%7)+"ab is running"))
	}
	r.Failed(log, "pod not ended", errors.New("no route to host"))
	r.Succeeded(log)
	r.Succeeded(log)
	r.Again()
	r.Succeeded(log) // nobody was told of that failure
	want := `level=WARN msg="pod not ended" error="task 4fab is running"
level=WARN msg="pod not ended" error="no route to host"
level=INFO msg="over: pod not ended" failures=501
`
	if got := b.String(); got != want {
		t.Errorf("log: got\n%swant\n%s", got, want)
	}
}
