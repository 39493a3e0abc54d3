// Package reclaim gives memory back to the system when a storm is over. Go
// collects garbage when the heap has doubled, so a process that has become
// quiet keeps for minutes what a storm needed, and what its caches have let go
// of since.
//
// It only watches: what is worth a collection and when the process is quiet. A
// busy process is left to Go, which returns memory as well, and which Pace has
// collect a large heap before it has doubled. Begin at Reclaimer.Run.
//
// RATIONALE.md: "Where does the idle memory go?"
package reclaim

import (
	"context"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/utils/clock"
)

const (
	// every is the time between two looks, and quietLooks how many must find
	// the process quiet: allocating less than quietBytes in between.
	every      = 5 * time.Second
	quietLooks = 3
	quietBytes = 16 << 20
	// worth is what a collection must promise, beside a quarter of the live
	// heap, which is what it costs.
	worth = 16 << 20
	// rest is the shortest time between two collections.
	rest = 30 * time.Second
)

// aftermath are the pauses after which it is collected again when a storm is
// over, whatever that promises: what a storm leaves goes by and by (histories,
// instances of plugins, buffers), and each piece alone keeps pages that it
// shares with garbage. The last is after everything that the caches let go of.
var aftermath = []time.Duration{rest, 60 * time.Second}

// Config of a Reclaimer.
type Config struct {
	// Trim is called at every look, before it: it lets go of what is held past
	// its use. nil does nothing.
	Trim func()
	// Held is about how many bytes the caches hold now that they will let go
	// of by and by. What it shrinks by is worth collecting. nil is none.
	Held func() int
	// Usage and Free are replaced by tests. nil is Go's.
	Usage func() Usage
	Free  func() error
	Clock clock.WithTicker // nil is the real clock
	Log   *slog.Logger     // nil discards
}

// Usage is what the process has used of its heap.
type Usage struct {
	Allocated uint64 // since it began
	Live      uint64 // found by the last collection
	Objects   uint64 // alive or not collected yet
	Free      uint64 // collected and not given back
}

// Reclaimer gives memory back. It is used by one goroutine, Run's.
type Reclaimer struct {
	c         Config
	allocated uint64 // at the last look
	quiet     int    // looks in a row
	held      int    // the most since the last collection
	last      time.Time
	stormed   bool            // it was busy since aftermath began
	again     []time.Duration // what is left of aftermath
}

// New makes a Reclaimer. Nothing happens before Run.
func New(c Config) *Reclaimer {
	if c.Trim == nil {
		c.Trim = func() {}
	}
	if c.Held == nil {
		c.Held = func() int { return 0 }
	}
	if c.Usage == nil {
		c.Usage = readUsage
	}
	if c.Free == nil {
		c.Free = free
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Reclaimer{c: c}
}

// Run looks every few seconds until ctx ends; then it returns nil. What the
// start needed and nobody needs any more is given back after the first looks,
// quiet or not.
func (r *Reclaimer) Run(ctx context.Context) error {
	t := r.c.Clock.NewTicker(every)
	defer t.Stop()
	for looks := 1; ; looks++ {
		select {
		case <-t.C():
		case <-ctx.Done():
			return nil
		}
		r.c.Trim()
		if u, now := r.c.Usage(), r.c.Clock.Now(); r.due(u, now) || looks == quietLooks {
			r.free(u, now)
		}
	}
}

// due takes in a look and tells whether a collection pays now.
func (r *Reclaimer) due(u Usage, now time.Time) bool {
	busy := u.Allocated-r.allocated > quietBytes
	r.stormed = r.stormed || busy
	r.allocated = u.Allocated
	held := r.c.Held()
	r.held = max(r.held, held)
	if busy {
		r.quiet = 0
		return false
	}
	r.quiet++
	if r.quiet >= quietLooks && len(r.again) > 0 && now.Sub(r.last) >= r.again[0] {
		r.again = r.again[1:]
		return true
	}
	promised := r.held - held + int(u.Free)
	if u.Objects > u.Live {
		promised += int(u.Objects - u.Live)
	}
	if r.quiet < quietLooks || now.Sub(r.last) < rest || promised < max(worth, int(u.Live/4)) {
		return false
	}
	if r.stormed {
		r.again, r.stormed = aftermath, false
	}
	return true
}

func (r *Reclaimer) free(before Usage, now time.Time) {
	if err := r.c.Free(); err != nil {
		r.c.Log.Debug("pages of files are not given back", "error", err)
	}
	after := r.c.Usage()
	r.last, r.held, r.allocated = now, r.c.Held(), after.Allocated
	r.c.Log.Debug("memory given back", "before", before.Objects+before.Free, "after", after.Objects+after.Free)
}

func free() error {
	debug.FreeOSMemory()
	return releaseFilePages()
}

// readUsage reads it from the runtime, without stopping anything.
func readUsage() Usage {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	return Usage{Allocated: s[0].Value.Uint64(), Live: s[1].Value.Uint64(), Objects: s[2].Value.Uint64(), Free: s[3].Value.Uint64()}
}
