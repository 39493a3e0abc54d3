package custom

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// idle is after how long without use what was compiled of a definition goes.
const idle = 5 * time.Minute

// kept are the kinds of which something is compiled. It is safe for concurrent use.
type kept struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	kinds map[*kind]struct{} // guarded by mu
}

// add is called with the kind's lock held, which sweep takes too, but never
// together with its own.
func (x *kept) add(k *kind) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kinds[k] = struct{}{}
}

// sweep drops what nobody has used for a while.
func (x *kept) sweep() {
	x.mu.Lock()
	all := make([]*kind, 0, len(x.kinds))
	for k := range x.kinds {
		all = append(all, k)
	}
	x.mu.Unlock()
	since := x.clock.Now().Add(-idle)
	for _, k := range all {
		if !k.drop(since) {
			continue
		}
		x.mu.Lock()
		delete(x.kinds, k)
		x.mu.Unlock()
		// It may have been compiled again in between, and must not be lost.
		k.mu.Lock()
		again := k.compiled != nil
		k.mu.Unlock()
		if again {
			x.add(k)
		}
	}
}
