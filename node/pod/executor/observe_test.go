package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/node/state"
)

func TestLastWords(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	lines := func(n, width int) string {
		var b strings.Builder
		for range n {
			b.WriteString("2026-01-01T00:00:00.000000000Z stdout F " + strings.Repeat("l", width-1) + "\n")
		}
		return b.String()
	}
	long := file("long", strings.Repeat("a", 5000)+strings.Repeat("z", 4000))
	none, few, many := file("none", ""), file("few", lines(3, 10)), file("many", lines(100, 10))
	wide := file("wide", lines(80, 100))
	const fallback = "FallbackToLogsOnError"
	for name, c := range map[string]struct {
		c    state.Container
		want string
	}{
		"the end of the file":          {state.Container{TerminationMessagePath: long}, strings.Repeat("a", 96) + strings.Repeat("z", 4000)},
		"the runtime's word":           {state.Container{TerminationMessagePath: none, Message: "said"}, "said"},
		"the file before the log":      {state.Container{TerminationMessagePath: file("m", "m"), TerminationMessagePolicy: fallback, ExitCode: 1, LogPath: few}, "m"},
		"the log when it failed":       {state.Container{TerminationMessagePath: none, TerminationMessagePolicy: fallback, ExitCode: 1, LogPath: few}, strings.Repeat("lllllllll\n", 3)},
		"80 lines of it":               {state.Container{TerminationMessagePolicy: fallback, ExitCode: 1, LogPath: many}, strings.Repeat("lllllllll\n", 80)},
		"2 KiB of them":                {state.Container{TerminationMessagePolicy: fallback, ExitCode: 1, LogPath: wide}, strings.Repeat(strings.Repeat("l", 99)+"\n", 80)[8000-2048:]},
		"not the log when it did well": {state.Container{TerminationMessagePath: none, TerminationMessagePolicy: fallback, LogPath: few}, ""},
		"not the log by default":       {state.Container{TerminationMessagePath: none, TerminationMessagePolicy: "File", ExitCode: 1, LogPath: few}, ""},
	} {
		if got := terminationMessage(&c.c); got != c.want {
			t.Errorf("%s: got %d bytes %.40q, want %d", name, len(got), got, len(c.want))
		}
	}
}
