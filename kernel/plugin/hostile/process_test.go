package hostile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestProcesses: a plugin in a process of its own neither takes the server with
// it nor leaves anything behind.
func TestProcesses(t *testing.T) {
	beside(t)
	s := start(t)
	for _, a := range []attack{
		// The scheduler looks at the region all the time.
		{name: "truncates the shared memory", spec: hostileAt(v1alpha1.HostProcess, "filter", "truncate"), harmless: true},
		{name: "starts children that leave its session", spec: hostileAt(v1alpha1.HostProcess, "validate", "children"), harmless: true},
		{name: "hangs in a filter", spec: hostileAt(v1alpha1.HostProcess, "filter", "sleep", timeout(500*time.Millisecond)), says: "no answer within 500ms"},
	} {
		t.Run(a.name, func(t *testing.T) {
			s.withstand(t, a)
			await(t, "its children are gone", func() bool { return children(t) == 0 })
			await(t, "its executable is gone", func() bool {
				left, err := os.ReadDir(filepath.Join(s.dir, "plugins"))
				return err == nil && len(left) == 0
			})
		})
	}
}

// children counts the processes that the act "children" made.
func children(t testing.TB) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(guests.Sleep)) {
			n++
		}
	}
	return n
}
