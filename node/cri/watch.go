package cri

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/state"
)

// Intervals between looks at the runtime. A source of events only says when
// to look: events may be lost, the list is the truth.
const (
	pollFast    = 200 * time.Millisecond // without events, while things happen
	pollSlow    = time.Second            // without events, when nothing has for quietAfter
	quietAfter  = 30 * time.Second
	pollEvents  = 10 * time.Second // with events
	relistFirst = 2 * time.Millisecond
	relistMax   = time.Second
	awaitExit   = 30 * time.Second // for an announced exit to show in the runtime's books
)

// Watcher reports which pods changed in the runtime.
type Watcher struct {
	client *Client
	clock  clock.WithTicker
	log    *slog.Logger
	notify func(types.UID)
	hints  chan string // ids of containers whose main process ended; "" for anything
	events chan bool   // whether a source of events is connected
}

// NewWatcher makes a watcher that calls notify, from one goroutine, with the
// UID of every pod whose sandboxes or containers came, went or changed phase.
// log may be nil.
func NewWatcher(client *Client, notify func(types.UID), log *slog.Logger) *Watcher {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{client: client, clock: clock.RealClock{}, log: log, notify: notify,
		hints: make(chan string, 64), events: make(chan bool)}
}

// Run looks at the runtime until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.follow(ctx)
	}()
	w.loop(ctx)
	<-done
	return nil
}

func (w *Watcher) hint(id string) {
	select {
	case w.hints <- id:
	default: // so many wait that the next look is due anyway
	}
}

// loop relists on hints and timers. The runtime announces an exit before its
// own books say so: after a hint it looks again, in growing steps, until the
// exit shows.
func (w *Watcher) loop(ctx context.Context) {
	var (
		last    map[types.UID]fingerprint
		events  bool
		changed = w.clock.Now()
		awaited = map[string]time.Time{} // containers whose exit was announced, and when
		relist  time.Duration
		sight   = backoff.New(pollFast, 5*time.Second)
		timer   = w.clock.NewTimer(0)
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case events = <-w.events:
		case id := <-w.hints:
			awaited[id], relist = w.clock.Now(), relistFirst
			w.moreHints(awaited)
		case <-timer.C():
		}
		pods, err := w.client.Pods(ctx)
		blind := time.Duration(0)
		if err != nil {
			if ctx.Err() == nil {
				blind = sight.Failed(w.log, "the container runtime does not answer", err)
			}
		} else {
			sight.Succeeded(w.log)
			next := fingerprints(pods)
			if w.diff(last, next) {
				changed = w.clock.Now()
			}
			last = next
			w.strike(awaited, next)
		}
		wait := pollSlow
		switch {
		case blind > 0:
			wait = blind
		case len(awaited) > 0:
			wait, relist = relist, min(2*relist, relistMax)
		case events:
			wait = pollEvents
		case w.clock.Since(changed) < quietAfter:
			wait = pollFast
		}
		timer.Stop()
		timer = w.clock.NewTimer(wait)
	}
}

// moreHints takes in what else was announced.
func (w *Watcher) moreHints(awaited map[string]time.Time) {
	for {
		select {
		case id := <-w.hints:
			awaited[id] = w.clock.Now()
		default:
			return
		}
	}
}

// strike drops the containers that have exited or are gone, and those that
// were announced so long ago that the announcement must have been wrong.
func (w *Watcher) strike(awaited map[string]time.Time, now map[types.UID]fingerprint) {
	alive := map[string]bool{}
	for _, f := range now {
		for id, p := range f {
			alive[id] = p != state.Exited
		}
	}
	for id, since := range awaited {
		if !alive[id] || w.clock.Since(since) > awaitExit {
			delete(awaited, id)
		}
	}
}

// fingerprint tells whether a pod changed: the phases by id.
type fingerprint map[string]state.Phase

func fingerprints(pods map[types.UID]*state.Pod) map[types.UID]fingerprint {
	out := make(map[types.UID]fingerprint, len(pods))
	for uid, p := range pods {
		f := make(fingerprint, len(p.Sandboxes)+len(p.Containers))
		for _, s := range p.Sandboxes {
			f[s.ID] = state.Exited
			if s.Ready {
				f[s.ID] = state.Running
			}
		}
		for _, c := range p.Containers {
			f[c.ID] = c.Phase
		}
		out[uid] = f
	}
	return out
}

func (w *Watcher) diff(last, next map[types.UID]fingerprint) bool {
	changed := false
	for uid, f := range next {
		if !equal(last[uid], f) {
			changed = true
			w.notify(uid)
		}
	}
	for uid := range last {
		if _, still := next[uid]; !still {
			changed = true
			w.notify(uid)
		}
	}
	return changed
}

func equal(a, b fingerprint) bool {
	if len(a) != len(b) {
		return false
	}
	for id, p := range a {
		if q, ok := b[id]; !ok || p != q {
			return false
		}
	}
	return true
}
