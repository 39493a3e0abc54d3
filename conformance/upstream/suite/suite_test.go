package suite

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	const printed = "Running Suite\nWill run 7 of 7701 specs\n" +
		"•••\n------------------------------\n• [FAILED] [2.126 seconds]\n[sig-node] Pods should • bullet\n  [FAILED] in [It] - pod.go:281\n" +
		"------------------------------\n••\n• [TIMEDOUT] [180.2 seconds]\n"
	for _, size := range []int{1, 2, 7, len(printed)} {
		var out bytes.Buffer
		now := time.Unix(0, 0)
		p := newProgress(&out, func() time.Time { return now })
		for rest := []byte(printed); len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := p.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		now = now.Add(90 * time.Second)
		p.end()
		if got, want := out.String(), "   7 of 7 done, 2 failed, 0 left, 1m30s\n"; got != want {
			t.Errorf("written in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}

func TestProgressTellsNowAndThen(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newProgress(&out, func() time.Time { return now })
	for _, printed := range []string{"Will run 4 of 9 specs\n", "•", "•"} {
		now = now.Add(10 * time.Second)
		_, _ = p.Write([]byte(printed))
	}
	if got, want := out.String(), "   1 of 4 done, 0 failed, 3 left, 20s, about 1m0s more\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFocusOn(t *testing.T) {
	names := []string{"[sig-node] Pods should run (a+b)? [Conformance]", "[sig-cli] Kubectl should apply"}
	focus := regexp.MustCompile(FocusOn(names))
	for _, name := range names {
		if !focus.MatchString(name + " [sig-x, Conformance]") {
			t.Errorf("%q is not in the focus", name)
		}
	}
	if focus.MatchString("[sig-node] Pods should run aab [Conformance]") {
		t.Error("signs of the name are read as an expression")
	}
}

// TestDo: a report of an earlier run is not taken for this one's, and one that
// is there counts however the suite ended.
func TestDo(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "junit.xml")
	if err := os.WriteFile(stale, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	fake := func(script string) Run {
		return Run{Ginkgo: "ginkgo", Test: "e2e.test", Prefix: []string{"/bin/sh", "-c", script}, Procs: 2, Timeout: time.Minute, Dir: dir}
	}
	var out bytes.Buffer
	if err := fake("echo no cluster; exit 1").Do(context.Background(), &out); err == nil || !strings.Contains(err.Error(), "output.log") {
		t.Errorf("without a report: %v", err)
	}
	run := fake(`printf 'Will run 1 of 2 specs\n• [FAILED] [1 seconds]\n'; echo new > ` + stale + `; exit 1`)
	if err := run.Do(context.Background(), &out); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "1 of 1 done, 1 failed, 0 left") {
		t.Errorf("progress: %q", out.String())
	}
}
