package node

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// drainer waits until the EndpointSlices name a pod as ready no more: the
// balancers of every node follow them.
type drainer struct {
	node  string
	own   func(context.Context, *corev1.Pod) error // Config.Draining
	delay time.Duration

	mu      sync.Mutex
	slices  map[string]map[types.UID]bool // ready pods of this node, by slice; guarded by mu
	count   map[types.UID]int             // slices that name the pod; guarded by mu
	waiters map[types.UID][]chan struct{} // closed at zero; guarded by mu
}

func newDrainer(node string, own func(context.Context, *corev1.Pod) error, delay time.Duration) *drainer {
	return &drainer{node: node, own: own, delay: delay, slices: map[string]map[types.UID]bool{},
		count: map[types.UID]int{}, waiters: map[types.UID][]chan struct{}{}}
}

// handler keeps the drainer informed.
func (d *drainer) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { d.set(obj) },
		UpdateFunc: func(_, obj any) { d.set(obj) },
		DeleteFunc: func(obj any) {
			if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if s, ok := obj.(*discoveryv1.EndpointSlice); ok {
				d.replace(s.Namespace+"/"+s.Name, nil)
			}
		},
	}
}

func (d *drainer) set(obj any) {
	s, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return
	}
	var ready map[types.UID]bool
	for _, e := range s.Endpoints {
		if e.NodeName == nil || *e.NodeName != d.node || e.TargetRef == nil || e.TargetRef.Kind != "Pod" ||
			e.Conditions.Ready != nil && !*e.Conditions.Ready {
			continue
		}
		if ready == nil {
			ready = map[types.UID]bool{}
		}
		ready[e.TargetRef.UID] = true
	}
	d.replace(s.Namespace+"/"+s.Name, ready)
}

func (d *drainer) replace(slice string, ready map[types.UID]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.slices[slice]
	for uid := range ready {
		if !old[uid] {
			d.count[uid]++
		}
	}
	for uid := range old {
		if ready[uid] {
			continue
		}
		if d.count[uid]--; d.count[uid] == 0 {
			delete(d.count, uid)
			for _, w := range d.waiters[uid] {
				close(w)
			}
			delete(d.waiters, uid)
		}
	}
	if len(ready) == 0 {
		delete(d.slices, slice)
	} else {
		d.slices[slice] = ready
	}
}

// drain takes the pod out of this node's balancer and waits for the others. A
// pod that no Service has is not waited for.
func (d *drainer) drain(ctx context.Context, pod *corev1.Pod) error {
	if d.own != nil {
		if err := d.own(ctx, pod); err != nil {
			return err
		}
	}
	d.mu.Lock()
	if d.count[pod.UID] == 0 {
		d.mu.Unlock()
		return nil
	}
	gone := make(chan struct{})
	d.waiters[pod.UID] = append(d.waiters[pod.UID], gone)
	d.mu.Unlock()
	select {
	case <-gone:
	case <-ctx.Done():
		return ctx.Err()
	}
	t := time.NewTimer(d.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
