package logs_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pintle-io/pintle/node/logs"
)

const sample = `2026-01-01T00:00:01.000000001Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03Z stdout P thr
2026-01-01T00:00:03Z stdout F ee
not a record
2026-01-01T00:00:04Z stdout F 
`

func write(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRead(t *testing.T) {
	n := func(i int64) *int64 { return &i }
	for name, c := range map[string]struct {
		o    logs.Options
		want string
	}{
		"all":        {logs.Options{}, "one\ntwo\nthree\n\n"},
		"stderr":     {logs.Options{Stream: "stderr"}, "two\n"},
		"tail":       {logs.Options{Tail: n(3)}, "ee\n\n"},
		"tail none":  {logs.Options{Tail: n(0)}, ""},
		"tail more":  {logs.Options{Tail: n(99)}, "one\ntwo\nthree\n\n"},
		"since":      {logs.Options{Since: time.Date(2026, 1, 1, 0, 0, 3, 0, time.UTC)}, "three\n\n"},
		"limit":      {logs.Options{Limit: n(6)}, "one\ntw"},
		"limit zero": {logs.Options{Limit: n(0)}, ""},
		"timestamps": {logs.Options{Timestamps: true, Stream: "stdout"}, "2026-01-01T00:00:01.000000001Z one\n2026-01-01T00:00:03.000000000Z three\n2026-01-01T00:00:04.000000000Z \n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := logs.Read(t.Context(), write(t, sample), c.o, &b); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got, err := logs.Tail(write(t, sample), 80, 4); err != nil || string(got) != "ee\n\n" {
		t.Errorf("tail: got %q %v", got, err)
	}
	if err := logs.Read(t.Context(), filepath.Join(t.TempDir(), "none"), logs.Options{}, &bytes.Buffer{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

// safeBuffer is written by the follower and read by the test.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestFollowThroughRotation: a follower sees every line once, through a
// rotation, and ends with the container.
func TestFollowThroughRotation(t *testing.T) {
	p := filepath.Join(t.TempDir(), "0.log")
	var running atomic.Bool
	running.Store(true)
	var out safeBuffer
	done := make(chan error, 1)
	go func() { done <- logs.Read(t.Context(), p, logs.Options{Follow: true, Running: running.Load}, &out) }()
	appendTo := func(text string) {
		t.Helper()
		f, err := os.OpenFile(p, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.SplitAfter("2026-01-01T00:00:01Z stdout F "+text+"\n", " F") { // in two pieces
			if _, err := f.WriteString(part); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
		f.Close()
	}
	await := func(want string) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); out.String() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("got %q, want %q", out.String(), want)
			}
		}
	}
	time.Sleep(20 * time.Millisecond) // the follower waits for the file
	appendTo("a")
	await("a\n")
	rotated, err := logs.Rotation{Size: 1, Files: 2}.Rotate(t.Context(), p, time.Now(), func(context.Context) error { return nil })
	if err != nil || !rotated {
		t.Fatalf("rotate: %t %v", rotated, err)
	}
	appendTo("b")
	await("a\nb\n")
	appendTo("c")
	running.Store(false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	await("a\nb\nc\n")
}

func TestRotate(t *testing.T) {
	p := write(t, strings.Repeat("x", 100))
	r := logs.Rotation{Size: 50, Files: 3}
	reopen := func(context.Context) error { return os.WriteFile(p, bytes.Repeat([]byte("y"), 100), 0o600) }
	for i := range 5 {
		if ok, err := r.Rotate(t.Context(), p, time.Unix(int64(i), 0), reopen); err != nil || !ok {
			t.Fatalf("rotation %d: %t %v", i, ok, err)
		}
	}
	files, _ := filepath.Glob(p + "*")
	if len(files) != 3 {
		t.Errorf("files: got %v, want three", files)
	}
	if ok, err := (logs.Rotation{Size: 1000}).Rotate(t.Context(), p, time.Now(), reopen); ok || err != nil {
		t.Errorf("small file: got %t %v", ok, err)
	}
	broken := errors.New("runtime is down")
	if _, err := r.Rotate(t.Context(), p, time.Now(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("reopen fails: got %v", err)
	}
	if _, err := os.Stat(p); err != nil {
		t.Errorf("the log was not moved back: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for line := range strings.Lines(sample) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := logs.Parse(line)
		if err == nil && (len(r.Text) > len(line) || r.Stream != "stdout" && r.Stream != "stderr") {
			t.Errorf("%q: got %+v", line, r)
		}
	})
}
