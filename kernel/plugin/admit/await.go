package admit

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/sdk/wire"
)

const (
	// maxAwait bounds how long a request is held for an object that a policy
	// has not found. Upstream's ServiceAccount admission tries for one to two
	// seconds.
	maxAwait = 2 * time.Second
	// lookAgain is how often it is looked for: the look is one in memory.
	lookAgain = 10 * time.Millisecond
	// inVain is how long after a wait that was in vain nobody waits for the
	// same object again, so that a batch of hundreds of pods is refused after
	// one wait and not after hundreds.
	inVain = 5 * time.Second
	// maxVain bounds what is remembered of such waits.
	maxVain = 1024
	// maxAwaited bounds what one verdict may wait for.
	maxAwaited = 8
)

// Exists tells whether an object is there. An error says that whoever asks may
// not know.
type Exists func(ctx context.Context, q wire.GetRequest) (bool, error)

// waits holds requests for objects that are about to be made. No instance is
// in use meanwhile. It is safe for concurrent use.
type waits struct {
	exists Exists
	clock  clock.WithTicker

	mu   sync.Mutex
	vain map[wire.GetRequest]time.Time // guarded by mu; when the wait ended
}

func newWaits(exists Exists, c clock.WithTicker) *waits {
	if c == nil {
		c = clock.RealClock{}
	}
	return &waits{exists: exists, clock: c, vain: map[wire.GetRequest]time.Time{}}
}

// until waits for one of the objects and reports whether it is there.
func (w *waits) until(ctx context.Context, list []wire.GetRequest) (bool, error) {
	if w.exists == nil {
		return false, nil
	}
	list = w.worthwhile(list[:min(len(list), maxAwaited)])
	if len(list) == 0 {
		return false, nil
	}
	tick := w.clock.NewTicker(lookAgain)
	defer tick.Stop()
	for begin := w.clock.Now(); ; {
		for _, q := range list {
			if there, err := w.exists(ctx, q); there || err != nil {
				return there, err
			}
		}
		if w.clock.Since(begin) >= maxAwait {
			w.gaveUp(list)
			return false, nil
		}
		select {
		case <-tick.C():
		case <-ctx.Done():
			return false, nil
		}
	}
}

// worthwhile leaves out what was waited for in vain just now.
func (w *waits) worthwhile(list []wire.GetRequest) (out []wire.GetRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range list {
		if at, ok := w.vain[q]; !ok || w.clock.Since(at) >= inVain {
			out = append(out, q)
		}
	}
	return out
}

func (w *waits) gaveUp(list []wire.GetRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.vain) >= maxVain {
		clear(w.vain)
	}
	for _, q := range list {
		w.vain[q] = w.clock.Now()
	}
}
