package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/reclaim/roomy"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Request names what to reconcile.
type Request = wire.Request

// Backoff bounds of a request that keeps failing, as upstream's controllers
// have them.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = 1000 * time.Second
)

// Queue holds requests to reconcile. A request is in it at most once; one that
// is added while a worker has it is handed out again after Done. It is safe
// for concurrent use.
// RATIONALE.md: "Why are expensive reconciles throttled?"
type Queue struct {
	clock clock.WithDelayedExecution

	mu       sync.Mutex
	ready    []Request
	queued   roomy.Map[Request, bool]      // in ready
	working  roomy.Map[Request, bool]      // handed out; true: added again meanwhile
	failures map[Request]int               // consecutive
	timers   roomy.Map[Request, delayed]   // not yet ready
	cooling  map[Request]bool              // just done, and expensive; true: added again meanwhile
	wake     chan struct{}                 // closed and replaced when ready grows
	added    roomy.Map[Request, time.Time] // since when a request has waited
	workers  int                           // of GetAs
	idle     map[int]bool                  // workers that wait in GetAs
	held     int                           // what queued and timers cost, in bytes
	closed   bool
	onWait   func(wait time.Duration) // metrics; may be nil
}

// maxHeld bounds what waits in a queue when its controller itself names more, in
// bytes: what changes of objects bring is bounded by the objects, what a plugin
// makes up by nothing.
const maxHeld = 128 << 20

// cost is about what a request that waits takes.
func cost(r Request) int { return 256 + len(r.Namespace) + len(r.Name) + len(r.Labels) }

type delayed struct {
	at    time.Time
	timer clock.Timer
}

// NewQueue makes an empty queue. onWait, which may be nil, is told how long
// each request waited before it was handed out.
func NewQueue(c clock.WithDelayedExecution, onWait func(time.Duration)) *Queue {
	return &Queue{clock: c, onWait: onWait, wake: make(chan struct{}),
		failures: map[Request]int{},
		cooling:  map[Request]bool{}, idle: map[int]bool{}}
}

// Add makes a request ready now.
func (q *Queue) Add(r Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(r)
}

// AddNamed makes requests ready that the controller itself named: all, or none
// and an error when too many wait.
func (q *Queue) AddNamed(list []Request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	more := 0
	for _, r := range list {
		if _, later := q.timers.Lookup(r); !later && !q.queued.Get(r) {
			more += cost(r)
		}
	}
	if more > 0 && q.held+more > maxHeld {
		return wire.Errorf(wire.KindTooMany, "the controller asks for %d more requests while %d wait, which is more than %d MiB", len(list), q.queued.Len()+q.timers.Len(), maxHeld>>20)
	}
	for _, r := range list {
		q.add(r)
	}
	return nil
}

func (q *Queue) add(r Request) {
	if q.closed || q.queued.Get(r) {
		return
	}
	if _, ok := q.cooling[r]; ok {
		q.cooling[r] = true
		return
	}
	if d, ok := q.timers.Lookup(r); ok {
		d.timer.Stop()
		q.undelay(r)
	}
	q.enqueue(r)
}

// enqueue makes a request ready, or ready again when a worker has it.
func (q *Queue) enqueue(r Request) {
	if _, busy := q.working.Lookup(r); busy {
		q.working.Set(r, true)
		return
	}
	q.held += cost(r) // callers have looked that it is not queued
	q.queued.Set(r, true)
	q.ready = append(q.ready, r)
	q.added.Set(r, q.clock.Now())
	q.renew()
}

// Cooldown has changes of a request wait for a while: one whose reconcile took long
// is not begun anew at every change that came meanwhile, but once, for all that
// come until then. It is called before [Queue.Done], and what Done is told to
// bring back comes back nevertheless.
func (q *Queue) Cooldown(r Request, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || d <= 0 {
		return
	}
	if _, ok := q.cooling[r]; !ok {
		q.cooling[r] = false
		q.clock.AfterFunc(d, func() { q.cooled(r) })
	}
}

// cooled ends a cooldown.
func (q *Queue) cooled(r Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	again := q.cooling[r]
	delete(q.cooling, r)
	if again {
		q.add(r)
	}
}

// AddAfter makes a request ready after d, unless it gets ready before.
func (q *Queue) AddAfter(r Request, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d <= 0 {
		q.add(r)
		return
	}
	at := q.clock.Now().Add(d)
	if old, ok := q.timers.Lookup(r); ok {
		if !at.Before(old.at) {
			return
		}
		old.timer.Stop()
	}
	if q.closed || q.queued.Get(r) {
		return
	}
	if _, ok := q.timers.Lookup(r); !ok {
		q.held += cost(r)
	}
	q.timers.Set(r, delayed{at, q.clock.AfterFunc(d, func() { q.due(r, at) })})
}

// undelay forgets that a request comes later.
func (q *Queue) undelay(r Request) {
	q.held -= cost(r)
	q.timers.Delete(r)
}

func (q *Queue) due(r Request, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if d, ok := q.timers.Lookup(r); ok && d.at.Equal(at) {
		q.undelay(r)
		if _, ok := q.cooling[r]; ok {
			q.cooling[r] = false // this look serves what came until now, too
		}
		if !q.closed && !q.queued.Get(r) {
			q.enqueue(r)
		}
	}
}

// Get hands out the next request; the caller calls Done with it. ok is false
// when ctx has ended or the queue is closed.
func (q *Queue) Get(ctx context.Context) (r Request, ok bool) { return q.GetAs(ctx, 0, 1) }

// GetAs is Get for one of several workers, numbered from 0. Each keeps what it
// read for a request, so a request goes to the same worker again while that
// one has nothing else to do.
func (q *Queue) GetAs(ctx context.Context, worker, workers int) (r Request, ok bool) {
	for {
		q.mu.Lock()
		q.workers = workers
		delete(q.idle, worker)
		if q.closed {
			q.mu.Unlock()
			return r, false
		}
		if i := q.pick(worker); i >= 0 {
			r = q.take(i)
			q.mu.Unlock()
			return r, true
		}
		q.idle[worker] = true
		wake := q.wake
		q.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			q.mu.Lock()
			delete(q.idle, worker)
			q.renew() // what was left to this worker is now for others
			q.mu.Unlock()
			return r, false
		}
	}
}

// pick is the place of the next request for a worker: the first that no idle
// worker is the better one for; -1 when there is none.
func (q *Queue) pick(worker int) int {
	for i, r := range q.ready {
		if home := q.home(r); home == worker || !q.idle[home] {
			return i
		}
	}
	return -1
}

// home is the worker that a request goes to by preference.
func (q *Queue) home(r Request) int {
	h := uint32(2166136261)
	for _, s := range [2]string{r.Namespace, r.Name} {
		for i := range len(s) {
			h = (h ^ uint32(s[i])) * 16777619
		}
	}
	return int(h % uint32(max(q.workers, 1)))
}

// renew wakes every worker that waits.
func (q *Queue) renew() {
	if !q.closed {
		close(q.wake)
		q.wake = make(chan struct{})
	}
}

func (q *Queue) take(i int) Request {
	r := q.ready[i]
	if i == 0 {
		q.ready = q.ready[1:]
	} else {
		q.ready = slices.Delete(q.ready, i, i+1)
	}
	if len(q.ready) == 0 {
		q.ready = nil // let the array go
	}
	q.held -= cost(r)
	q.queued.Delete(r)
	q.working.Set(r, false)
	if q.onWait != nil {
		q.onWait(q.clock.Since(q.added.Get(r)))
	}
	q.added.Delete(r)
	return r
}

// Done returns a request. failed puts it back with growing delay; otherwise
// its back-off is forgotten and, when after > 0, it comes back then.
func (q *Queue) Done(r Request, failed bool, after time.Duration) {
	q.mu.Lock()
	again := q.working.Get(r)
	q.working.Delete(r)
	if failed {
		q.failures[r]++
		after = backoff(q.failures[r])
	} else {
		delete(q.failures, r)
	}
	if again && !failed {
		q.add(r)
	}
	_, cooling := q.cooling[r]
	q.mu.Unlock()
	if failed || after > 0 && (cooling || !again) {
		q.AddAfter(r, after)
	}
}

func backoff(failures int) time.Duration {
	if failures > 18 {
		return maxBackoff
	}
	return min(minBackoff<<(failures-1), maxBackoff)
}

// Len is the number of requests that are ready.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready)
}

// empty tells that there is no request, ready, handed out, or to come back.
func (q *Queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queued.Len()+q.working.Len()+q.timers.Len()+len(q.cooling) == 0
}

// Close wakes every Get and stops every timer. Requests are dropped.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	for _, d := range q.timers.All() {
		d.timer.Stop()
	}
	q.timers = roomy.Map[Request, delayed]{}
	close(q.wake)
}
