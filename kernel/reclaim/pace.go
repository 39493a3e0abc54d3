package reclaim

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/utils/clock"
)

const (
	// headroom is what a heap may grow by before the next collection, whatever
	// is alive; Go's own goal, which doubles, is below it for a small heap.
	headroom = 64 << 20
	// leastPercent and mostPercent bound what is set: collecting twice as often
	// as Go would is the most that memory is worth.
	leastPercent, mostPercent = 50, 100
	// pace is the time between two looks at the live heap, and step the change
	// that is worth stopping the world for, which setting it does.
	pace = time.Second
	step = 5
)

// PaceConfig of a Pace.
type PaceConfig struct {
	// Live and Set are replaced by tests: what the last collection found, and
	// debug.SetGCPercent. nil is Go's.
	Live func() uint64
	Set  func(percent int)
	// Getenv is os.Getenv when nil.
	Getenv func(string) string
	Clock  clock.WithTicker // nil is the real clock
}

// Pace makes Go collect a large heap before it has doubled, until ctx ends;
// then what Go does by itself holds again, and it returns nil. Whoever set GOGC
// knows better, and is left alone.
func Pace(ctx context.Context, c PaceConfig) error {
	if c.Live == nil {
		c.Live = liveHeap
	}
	if c.Set == nil {
		c.Set = func(percent int) { debug.SetGCPercent(percent) }
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Getenv("GOGC") != "" {
		return nil
	}
	t := c.Clock.NewTicker(pace)
	defer t.Stop()
	for now := mostPercent; ; {
		select {
		case <-t.C():
		case <-ctx.Done():
			if now != mostPercent {
				c.Set(mostPercent)
			}
			return nil
		}
		want := percent(c.Live())
		if want <= now-step || want >= now+step || want != now && (want == leastPercent || want == mostPercent) {
			now = want
			c.Set(now)
		}
	}
}

// percent is how much garbage a live heap may gather, in percent of itself.
func percent(live uint64) int {
	if live <= headroom {
		return mostPercent
	}
	return max(leastPercent, int(100*headroom/live))
}

func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
