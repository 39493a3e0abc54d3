package hostile_test

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// TestBulkWork: work that the engine or the host does in the guest's name ends
// with the guest's time, and is done in pieces. Each of these once stopped the
// garbage collector, and with it the server, or the scheduler for ever.
func TestBulkWork(t *testing.T) {
	s := start(t)
	collect := collectAlways(t)
	const deadline = "no answer within 300ms"
	short := timeout(300 * time.Millisecond)
	for _, a := range []attack{
		{name: "fill memory", spec: hostileAt(v1alpha1.HostWASM, "validate", "fill memory", short), says: deadline},
		{name: "copy memory", spec: hostileAt(v1alpha1.HostWASM, "validate", "copy memory", short), says: deadline},
		{name: "grow lists", spec: hostileAt(v1alpha1.HostWASM, "validate", "grow lists", short), says: deadline},
		{name: "draw random numbers", spec: hostileAt(v1alpha1.HostWASM, "validate", "draw random numbers", short), says: deadline},
		{name: "compare columns", spec: hostileAt(v1alpha1.HostWASM, "filter", "compare columns", short), says: deadline},
		{name: "compare columns in open", spec: hostileAt(v1alpha1.HostWASM, "open", "compare columns", short), says: deadline, refused: true},
		{name: "fill memory in a process", spec: hostileAt(v1alpha1.HostProcess, "validate", "fill memory", short), says: deadline},
		{name: "raw fill", spec: raw("bulk_fill", short), says: deadline, refused: true},
		{name: "raw copy", spec: raw("bulk_copy", short), says: deadline, refused: true},
		{name: "raw table", spec: raw("bulk_table", short), says: deadline, refused: true},
		{name: "raw random numbers", spec: raw("bulk_random", short), says: deadline, refused: true},
		{name: "raw comparisons", spec: raw("vec_in", short), says: deadline, refused: true},
		{name: "raw rows", spec: raw("vec_many", short), says: deadline, refused: true},
		{name: "raw writes", spec: raw("write_vectors", short), says: deadline, refused: true},
		{name: "raw paths", spec: raw("long_paths", short), says: deadline, refused: true},
		{name: "raw polls", spec: raw("poll_many", short), says: deadline, refused: true},
	} {
		t.Run(a.name, func(t *testing.T) { s.withstand(t, a) })
	}
	if n := collect(); n == 0 {
		t.Error("no garbage was collected meanwhile")
	}
}

// TestBulkWorkAtEveryStart: what is loaded at the start is under the same
// limits, and the server starts.
func TestBulkWorkAtEveryStart(t *testing.T) {
	s := start(t)
	spec := s.rawPlugin(t, "bulk_fill")
	timeout(300 * time.Millisecond)(&spec)
	s.load(t, "bad", spec)
	s.phase(t, "bad", v1alpha1.Failed)
	s.restart(t)
	s.phase(t, "bad", v1alpha1.Failed)
	s.neighbourAnswers(t)
}

// collectAlways collects garbage all the time, for which every goroutine has to
// stop for a moment: one that cannot be stopped holds up all the others. stop
// answers how often it was done.
func collectAlways(t testing.TB) (stop func() uint64) {
	ctx, cancel := context.WithCancel(t.Context())
	before := collections()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			runtime.GC()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // a pace; nothing waits for it
			}
		}
	})
	return func() uint64 {
		cancel()
		wg.Wait()
		return collections() - before
	}
}

func collections() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
