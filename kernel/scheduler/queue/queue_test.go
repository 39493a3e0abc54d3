package queue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/kernel/scheduler/queue"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

var start = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func pod(name string, priority int32) *queue.Pod {
	return &queue.Pod{Key: types.NamespacedName{Namespace: "default", Name: name}, Priority: priority}
}

// popAll lists the names of the pods that are due.
func popAll(q *queue.Queue, now time.Time) (names []string) {
	for p := q.Pop(now); p != nil; p = q.Pop(now) {
		names = append(names, p.Key.Name)
	}
	return names
}

func TestOrder(t *testing.T) {
	q := queue.New()
	for i, priority := range []int32{0, 5, 0, 9, 5} {
		q.Add(pod(fmt.Sprint("p", i), priority))
	}
	if got, want := popAll(q, start), []string{"p3", "p1", "p4", "p0", "p2"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

// An event wakes those that it helps, and these wait for the rest of their
// backoff.
func TestEvents(t *testing.T) {
	q := queue.New()
	helped, other := pod("helped", 0), pod("other", 0)
	q.AddUnschedulable(helped, schedule.NodeAdded|schedule.PodDeleted, start)
	q.AddUnschedulable(other, schedule.NodeTaintsChanged, start)
	q.Event(schedule.PodDeleted, start.Add(100*time.Millisecond))
	if a, b, u := q.Lengths(); a != 0 || b != 1 || u != 1 {
		t.Fatalf("active %d, backoff %d, unschedulable %d", a, b, u)
	}
	if at, ok := q.NextBackoff(); !ok || !at.Equal(start.Add(queue.InitialBackoff)) {
		t.Errorf("backoff ends at %v, %v", at, ok)
	}
	if p := q.Pop(start.Add(queue.InitialBackoff - 1)); p != nil {
		t.Errorf("%s came before its backoff ended", p.Key.Name)
	}
	if got := popAll(q, start.Add(queue.InitialBackoff)); !slices.Equal(got, []string{"helped"}) {
		t.Errorf("due are %v", got)
	}
	// Its backoff is over when the event comes: it is due at once.
	q.Event(schedule.NodeTaintsChanged, start.Add(time.Minute))
	if got := popAll(q, start.Add(time.Minute)); !slices.Equal(got, []string{"other"}) {
		t.Errorf("due are %v", got)
	}
}

func TestBackoffDoubles(t *testing.T) {
	q := queue.New()
	p := pod("p", 0)
	now := start
	for i, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		q.AddBackoff(p, now)
		at, _ := q.NextBackoff()
		if got := at.Sub(now); got != want*time.Second || p.Attempts() != i+1 {
			t.Errorf("attempt %d (%d): backoff %v, want %v s", i+1, p.Attempts(), got, int(want))
		}
		now = at
		if q.Pop(now) != p {
			t.Fatal("not due at the end of the backoff")
		}
	}
}

func TestFlush(t *testing.T) {
	q := queue.New()
	q.AddUnschedulable(pod("old", 0), schedule.NodeAdded, start)
	q.AddUnschedulable(pod("new", 0), schedule.NodeAdded, start.Add(4*time.Minute))
	q.FlushUnschedulable(5*time.Minute, start.Add(5*time.Minute))
	if got := popAll(q, start.Add(5*time.Minute)); !slices.Equal(got, []string{"old"}) {
		t.Errorf("flushed %v", got)
	}
}

// A pod is in one place, and found there by its key.
func TestRemove(t *testing.T) {
	q := queue.New()
	for name, put := range map[string]func(*queue.Pod){
		"active":        q.Add,
		"backoff":       func(p *queue.Pod) { q.AddBackoff(p, start) },
		"unschedulable": func(p *queue.Pod) { q.AddUnschedulable(p, schedule.NodeAdded, start) },
	} {
		p := pod(name, 0)
		q.Add(p)
		put(p)
		if q.Get(p.Key) != p || len(q.Keys()) != 1 {
			t.Errorf("%s: found %v of %v", name, q.Get(p.Key), q.Keys())
		}
		q.Remove(p)
		q.Remove(p)
		if a, b, u := q.Lengths(); a+b+u != 0 || q.Get(p.Key) != nil {
			t.Errorf("%s: %d, %d, %d are left", name, a, b, u)
		}
	}
}

// A pod that waits for an object leaves when that changes, by whatever ref it looked at
// it, and is forgotten when it leaves otherwise.
func TestChanged(t *testing.T) {
	claims := schema.GroupResource{Resource: "persistentvolumeclaims"}
	for name, tt := range map[string]struct {
		awaits, changes objects.Ref
		leaves          bool
	}{
		"the object":       {objects.Ref{Resource: claims, Namespace: "x", Name: "a"}, objects.Ref{Resource: claims, Namespace: "x", Name: "a"}, true},
		"another one":      {objects.Ref{Resource: claims, Namespace: "x", Name: "a"}, objects.Ref{Resource: claims, Namespace: "x", Name: "b"}, false},
		"all of namespace": {objects.Ref{Resource: claims, Namespace: "x"}, objects.Ref{Resource: claims, Namespace: "x", Name: "b"}, true},
		"other namespace":  {objects.Ref{Resource: claims, Namespace: "x"}, objects.Ref{Resource: claims, Namespace: "y", Name: "b"}, false},
		"all":              {objects.Ref{Resource: claims}, objects.Ref{Resource: claims, Namespace: "y", Name: "b"}, true},
		"another resource": {objects.Ref{Resource: claims}, objects.Ref{Resource: schema.GroupResource{Resource: "secrets"}, Namespace: "y", Name: "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			now, q, p := start, queue.New(), pod("p", 0)
			q.AddUnschedulable(p, 0, now, tt.awaits)
			q.Changed([]objects.Ref{tt.changes}, now)
			if _, backoff, _ := q.Lengths(); (backoff == 1) != tt.leaves {
				t.Errorf("%d pods in back-off", backoff)
			}
			q.Remove(p)
			q.Changed([]objects.Ref{tt.changes}, now) // it is no longer known
			if a, b, u := q.Lengths(); a+b+u != 0 {
				t.Errorf("a pod that was removed is back: %d, %d, %d", a, b, u)
			}
		})
	}
}
