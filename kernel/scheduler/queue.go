package scheduler

import (
	"container/heap"
	"time"

	"github.com/pintle-io/pintle/sdk"
)

// place is where a pod waits.
type place uint8

const (
	nowhere place = iota
	inActive
	inBackoff
	inUnschedulable
)

// The first pause after a failed try, and the longest; each failure doubles
// it, as upstream has it.
const (
	initialBackoff = time.Second
	maxBackoff     = 10 * time.Second
)

// queue orders the pods that wait for a node: by priority, then by age. A pod
// that was rejected waits until something changes that can help it, and at
// least for its backoff. The clock is the caller's.
type queue struct {
	active  podHeap // by priority, then age
	backoff podHeap // by the end of the pause
	// parked are the pods that no node takes now.
	parked map[*pod]struct{}
	seq    uint64
}

func newQueue() *queue {
	q := &queue{parked: map[*pod]struct{}{}}
	q.active.less = func(a, b *pod) bool {
		if a.priority != b.priority {
			return a.priority > b.priority
		}
		return a.seq < b.seq
	}
	q.backoff.less = func(a, b *pod) bool {
		if !a.until.Equal(b.until) {
			return a.until.Before(b.until)
		}
		return a.seq < b.seq
	}
	return q
}

// add puts a pod into the active queue.
func (q *queue) add(p *pod) {
	q.remove(p)
	if p.seq == 0 {
		q.seq++
		p.seq = q.seq
	}
	p.place = inActive
	heap.Push(&q.active, p)
}

// park puts a pod away after a failed try: events say what can help it.
func (q *queue) park(p *pod, events sdk.Event, now time.Time) {
	q.remove(p)
	p.attempts++
	p.until = now.Add(pause(p.attempts))
	p.events, p.parked = events, now
	p.place = inUnschedulable
	q.parked[p] = struct{}{}
}

// retry puts a pod away that failed for no reason of its own: it is tried
// again after its pause.
func (q *queue) retry(p *pod, now time.Time) {
	q.remove(p)
	p.attempts++
	p.until = now.Add(pause(p.attempts))
	p.place = inBackoff
	heap.Push(&q.backoff, p)
}

func pause(attempts int) time.Duration {
	d := initialBackoff
	for i := 1; i < attempts && d < maxBackoff; i++ {
		d *= 2
	}
	return min(d, maxBackoff)
}

// remove takes a pod out, wherever it is.
func (q *queue) remove(p *pod) {
	switch p.place {
	case inActive:
		heap.Remove(&q.active, p.index)
	case inBackoff:
		heap.Remove(&q.backoff, p.index)
	case inUnschedulable:
		delete(q.parked, p)
	}
	p.place = nowhere
}

// wake moves the parked pods that the events can help.
func (q *queue) wake(events sdk.Event, now time.Time) {
	for p := range q.parked {
		if p.events&events != 0 {
			q.release(p, now)
		}
	}
}

// flush moves the pods that have been parked for longer than limit, in case
// that an event was missed or its plugin misjudged.
func (q *queue) flush(limit time.Duration, now time.Time) {
	for p := range q.parked {
		if now.Sub(p.parked) >= limit {
			q.release(p, now)
		}
	}
}

// release lets a parked pod wait for the rest of its pause only.
func (q *queue) release(p *pod, now time.Time) {
	if !now.Before(p.until) {
		q.add(p)
		return
	}
	q.remove(p)
	p.place = inBackoff
	heap.Push(&q.backoff, p)
}

// pop takes the next pod out; nil when none is due.
func (q *queue) pop(now time.Time) *pod {
	for q.backoff.Len() > 0 && !now.Before(q.backoff.pods[0].until) {
		q.add(q.backoff.pods[0])
	}
	if q.active.Len() == 0 {
		return nil
	}
	p := q.active.pods[0]
	q.remove(p)
	return p
}

// due is when the next pause ends; false when none runs.
func (q *queue) due() (time.Time, bool) {
	if q.backoff.Len() == 0 {
		return time.Time{}, false
	}
	return q.backoff.pods[0].until, true
}

// podHeap is a heap of pods that know their index.
type podHeap struct {
	pods []*pod
	less func(a, b *pod) bool
}

func (h *podHeap) Len() int           { return len(h.pods) }
func (h *podHeap) Less(i, j int) bool { return h.less(h.pods[i], h.pods[j]) }
func (h *podHeap) Swap(i, j int) {
	h.pods[i], h.pods[j] = h.pods[j], h.pods[i]
	h.pods[i].index, h.pods[j].index = i, j
}

// Push is for container/heap.
func (h *podHeap) Push(x any) {
	p := x.(*pod)
	p.index = len(h.pods)
	h.pods = append(h.pods, p)
}

// Pop is for container/heap.
func (h *podHeap) Pop() any {
	p := h.pods[len(h.pods)-1]
	h.pods[len(h.pods)-1] = nil
	h.pods = h.pods[:len(h.pods)-1]
	return p
}

var _ heap.Interface = (*podHeap)(nil)
