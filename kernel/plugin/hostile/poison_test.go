package hostile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestPoison: objects of one namespace, on which a plugin with the failure
// policy Fail faults, stop nobody else.
func TestPoison(t *testing.T) {
	beside(t)
	s := start(t)
	const wasm, process, native = v1alpha1.HostWASM, v1alpha1.HostProcess, v1alpha1.HostNative
	short := timeout(500 * time.Millisecond)
	const leftOut = "objects of namespace hostile.*: plugin "
	for _, a := range []attack{
		{name: "filter panics", spec: hostileAt(wasm, "filter", "panic"), says: leftOut + "trapped: panic: as told at filter"},
		{name: "filter loops", spec: hostileAt(wasm, "filter", "loop", short), says: leftOut + "exceeded its deadline: no answer within 500ms"},
		{name: "prefilter panics", spec: hostileAt(wasm, "prefilter", "panic"), says: leftOut + "trapped: panic: as told at prefilter"},
		{name: "score panics", spec: hostileAt(wasm, "score", "panic"), says: leftOut + "trapped: panic: as told at score"},
		{name: "filter panics, process", spec: hostileAt(process, "filter", "panic"), says: leftOut + "trapped: panic: as told at filter"},
		{name: "filter panics, native", spec: hostileAt(native, "filter", "panic"), says: leftOut + "trapped: panic: as told at filter"},
		{name: "reconcile panics", spec: hostileAt(wasm, "reconcile", "panic"), says: leftOut + "trapped: panic: as told at reconcile"},
		{name: "reconcile loops", spec: hostileAt(wasm, "reconcile", "loop", short), says: leftOut + "exceeded its deadline"},
	} {
		t.Run(a.name, func(t *testing.T) { s.withstand(t, a) })
	}
}

// TestPoisonIsNamed: a pod on which a plugin faults says so itself, and is tried
// again and bound when the plugin is gone.
func TestPoisonIsNamed(t *testing.T) {
	beside(t)
	s := start(t)
	s.load(t, "bad", s.hostilePlugin(t, v1alpha1.HostWASM, "filter", "panic"))
	s.phase(t, "bad", v1alpha1.Ready)
	for i := range 5 {
		if _, err := s.createPod(guests.Namespace, fmt.Sprint("poison-", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.neighbourAnswers(t)
	await(t, "the pods say why they are not placed", func() bool {
		for i := range 5 {
			if c := condition(s.pod(t, guests.Namespace, fmt.Sprint("poison-", i))); !strings.Contains(c, "plugin bad: ") {
				return false
			}
		}
		return true
	})
	s.remove(t, "bad")
	for i := range 5 {
		s.awaitBound(t, guests.Namespace, fmt.Sprint("poison-", i))
	}
}
