package hostile_test

import (
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestLoops: code that never comes back is stopped by the deadline, at every
// point.
func TestLoops(t *testing.T) {
	beside(t)
	s := start(t)
	short := timeout(500 * time.Millisecond)
	for _, a := range []attack{
		{name: "nothing", spec: hostileAt(v1alpha1.HostWASM, "validate", "nothing"), harmless: true},
		{name: "validate", spec: hostileAt(v1alpha1.HostWASM, "validate", "loop", short), says: "no answer within 500ms"},
		{name: "mutate", spec: hostileAt(v1alpha1.HostWASM, "mutate", "loop", short), says: "no answer within 500ms"},
		{name: "panic", spec: hostileAt(v1alpha1.HostWASM, "validate", "panic", short), says: "as told at validate"},
		{name: "panic in a process", spec: hostileAt(v1alpha1.HostProcess, "validate", "panic"), says: "as told at validate"},
		{name: "sleep in a process", spec: hostileAt(v1alpha1.HostProcess, "validate", "sleep", short), says: "no answer within 500ms"},
	} {
		t.Run(a.name, func(t *testing.T) { s.withstand(t, a) })
	}
}
