// Package queue orders the pods that wait for a node. It owns the three places
// where they wait, as in kube-scheduler: active (to be tried now, by priority
// and age), backoff (to be tried after a pause that doubles), unschedulable
// (until a cluster event can help). It does no I/O, starts no goroutine and has
// no clock: time is passed in.
//
// A Queue is used by one goroutine.
package queue

import (
	"container/heap"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// The first backoff after a failed attempt, and the longest; each failure
// doubles it, as upstream has it.
const (
	InitialBackoff = time.Second
	MaxBackoff     = 10 * time.Second
)

// Pod is a pod without a node. The fields above the line are the caller's to
// set before Add; the queue does not look at Usage.
type Pod struct {
	Key      types.NamespacedName
	UID      types.UID
	Object   *corev1.Pod // shared with the watch cache
	Priority int32
	Usage    columns.Usage
	// Message of the last FailedScheduling event, and when it was recorded.
	Message    string
	RecordedAt time.Time

	attempts int
	seq      uint64 // by age
	place    place
	index    int                   // in its heap
	until    time.Time             // end of the backoff
	since    time.Time             // in unschedulable
	events   schedule.ClusterEvent // that can help it
	objects  []objects.Ref         // whose change can, too
}

// Attempts counts the attempts that failed.
func (p *Pod) Attempts() int { return p.attempts }

// place is where a pod waits.
type place uint8

const (
	nowhere place = iota
	inActive
	inBackoff
	inUnschedulable
)

// Queue holds the pods that wait. Make one with New.
type Queue struct {
	pods    map[types.NamespacedName]*Pod
	active  podHeap // by priority, then age
	backoff podHeap // by the end of the backoff
	// unschedulable are the pods that no node takes now.
	unschedulable map[*Pod]struct{}
	// awaiting are those of them that wait for a change of an object.
	awaiting map[objects.Ref]map[*Pod]struct{}
	seq      uint64
}

// New returns an empty queue.
func New() *Queue {
	q := &Queue{pods: map[types.NamespacedName]*Pod{}, unschedulable: map[*Pod]struct{}{}, awaiting: map[objects.Ref]map[*Pod]struct{}{}}
	q.active.less = func(a, b *Pod) bool {
		if a.Priority != b.Priority {
			return a.Priority > b.Priority
		}
		return a.seq < b.seq
	}
	q.backoff.less = func(a, b *Pod) bool {
		if !a.until.Equal(b.until) {
			return a.until.Before(b.until)
		}
		return a.seq < b.seq
	}
	return q
}

// Get returns the pod that waits under a key; nil when none does.
func (q *Queue) Get(key types.NamespacedName) *Pod { return q.pods[key] }

// Keys lists the keys of all pods that wait.
func (q *Queue) Keys() []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(q.pods))
	for k := range q.pods {
		keys = append(keys, k)
	}
	return keys
}

// Lengths counts the pods in each place.
func (q *Queue) Lengths() (active, backoff, unschedulable int) {
	return q.active.Len(), q.backoff.Len(), len(q.unschedulable)
}

// Add puts a pod into the active queue, wherever it waited.
func (q *Queue) Add(p *Pod) {
	q.Remove(p)
	if p.seq == 0 {
		q.seq++
		p.seq = q.seq
	}
	p.place = inActive
	q.pods[p.Key] = p
	heap.Push(&q.active, p)
}

// AddUnschedulable puts a pod away after an attempt in which no node took it:
// events say what can help it, and refs of which objects a change can, too.
func (q *Queue) AddUnschedulable(p *Pod, events schedule.ClusterEvent, now time.Time, refs ...objects.Ref) {
	q.failed(p, now)
	p.events, p.since, p.objects = events, now, refs
	for _, r := range refs {
		if q.awaiting[r] == nil {
			q.awaiting[r] = map[*Pod]struct{}{}
		}
		q.awaiting[r][p] = struct{}{}
	}
	p.place = inUnschedulable
	q.pods[p.Key] = p
	q.unschedulable[p] = struct{}{}
}

// AddBackoff puts a pod away after an attempt that failed for no reason of the
// pod's own: it is tried again after its backoff.
func (q *Queue) AddBackoff(p *Pod, now time.Time) {
	q.failed(p, now)
	q.pushBackoff(p)
}

func (q *Queue) failed(p *Pod, now time.Time) {
	q.Remove(p)
	p.attempts++
	p.until = now.Add(backoffAfter(p.attempts))
}

func backoffAfter(attempts int) time.Duration {
	d := InitialBackoff
	for i := 1; i < attempts && d < MaxBackoff; i++ {
		d *= 2
	}
	return min(d, MaxBackoff)
}

func (q *Queue) pushBackoff(p *Pod) {
	p.place = inBackoff
	q.pods[p.Key] = p
	heap.Push(&q.backoff, p)
}

// Remove takes a pod out, wherever it is. It is no error when it is not there.
func (q *Queue) Remove(p *Pod) {
	switch p.place {
	case nowhere:
		return
	case inActive:
		heap.Remove(&q.active, p.index)
	case inBackoff:
		heap.Remove(&q.backoff, p.index)
	case inUnschedulable:
		delete(q.unschedulable, p)
		q.stopAwaiting(p)
	}
	p.place = nowhere
	delete(q.pods, p.Key)
}

// Event moves the unschedulable pods that the events can help to the active
// queue, or to backoff while theirs is not over.
func (q *Queue) Event(events schedule.ClusterEvent, now time.Time) {
	if events == 0 {
		return
	}
	for p := range q.unschedulable {
		if p.events&events != 0 {
			q.leaveUnschedulable(p, now)
		}
	}
}

// Changed moves the unschedulable pods that a change of these objects can help.
func (q *Queue) Changed(list []objects.Ref, now time.Time) {
	if len(q.awaiting) == 0 {
		return
	}
	for _, o := range list {
		for _, r := range o.Covers() {
			for p := range q.awaiting[r] {
				q.leaveUnschedulable(p, now)
			}
		}
	}
}

func (q *Queue) stopAwaiting(p *Pod) {
	for _, r := range p.objects {
		delete(q.awaiting[r], p)
		if len(q.awaiting[r]) == 0 {
			delete(q.awaiting, r)
		}
	}
	p.objects = nil
}

// FlushUnschedulable moves the pods that have been unschedulable for longer
// than limit, in case that an event was missed or its plugin misjudged.
func (q *Queue) FlushUnschedulable(limit time.Duration, now time.Time) {
	for p := range q.unschedulable {
		if now.Sub(p.since) >= limit {
			q.leaveUnschedulable(p, now)
		}
	}
}

// leaveUnschedulable lets a pod wait for the rest of its backoff only.
func (q *Queue) leaveUnschedulable(p *Pod, now time.Time) {
	if !now.Before(p.until) {
		q.Add(p)
		return
	}
	q.Remove(p)
	q.pushBackoff(p)
}

// Pop takes the next pod out; nil when none is due.
func (q *Queue) Pop(now time.Time) *Pod {
	for q.backoff.Len() > 0 && !now.Before(q.backoff.pods[0].until) {
		q.Add(q.backoff.pods[0])
	}
	if q.active.Len() == 0 {
		return nil
	}
	p := q.active.pods[0]
	q.Remove(p)
	return p
}

// NextBackoff is when the next backoff ends; false when no pod is in one.
func (q *Queue) NextBackoff() (time.Time, bool) {
	if q.backoff.Len() == 0 {
		return time.Time{}, false
	}
	return q.backoff.pods[0].until, true
}
