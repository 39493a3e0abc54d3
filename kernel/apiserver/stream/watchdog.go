// Package stream serves watches: events as frames of a media type, around bytes
// that all watchers and lists share. A client that does not read is cut off and
// holds little meanwhile.
package stream

import (
	"sync"
	"time"
)

// watchdog bites when a write lasts too long: a client that reads nothing must
// not hold a stream for ever. A write deadline alone would do, but HTTP/2 takes
// two messages to a connection's only loop to set and clear one, for each
// write.
type watchdog struct {
	limit time.Duration
	timer *time.Timer

	mu   sync.Mutex
	over bool // guarded by mu
}

// newWatchdog makes one that calls bite, which must be safe to call while a
// write is under way. It bites at most once for each time that it is armed,
// and never after stop has returned.
func newWatchdog(limit time.Duration, bite func()) *watchdog {
	d := &watchdog{limit: limit}
	d.timer = time.AfterFunc(limit, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.over {
			bite()
		}
	})
	d.timer.Stop()
	return d
}

// arm says that a write begins.
func (d *watchdog) arm() { d.timer.Reset(d.limit) }

// calm says that it has ended.
func (d *watchdog) calm() { d.timer.Stop() }

// stop ends the watchdog.
func (d *watchdog) stop() {
	d.timer.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
}
