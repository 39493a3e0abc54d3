package devicetainteviction

import (
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// evictor is one instance's memory: which pods wait for their eviction, whose requests
// come back, and how many each rule has evicted.
type evictor struct {
	now     func() time.Time
	waiting map[key]waits
	evicted map[string]int64 // by the uid of the rule
}

type key struct{ namespace, name string }

// waits is a pod that is to go.
type waits struct {
	uid    string
	claims map[string]bool
	rules  map[string]string
}

func newEvictor(now func() time.Time) *evictor {
	return &evictor{now: now, waiting: map[key]waits{}, evicted: map[string]int64{}}
}

// reconcileClaim requests the pods of a claim that have to go, and those that waited on
// account of it.
func (e *evictor) reconcileClaim(c client.Client, namespace, name string) (controller.Result, error) {
	want := map[string]bool{}
	for k, w := range e.waiting {
		if k.namespace == namespace && w.claims[name] {
			want[k.name] = true
		}
	}
	o := &claim{}
	switch err := c.Get(o, namespace, name); {
	case err != nil && !client.IsNotFound(err):
		return controller.Result{}, err
	case err == nil:
		due, err := e.evictionOf(c, o)
		if err != nil {
			return controller.Result{}, err
		}
		for _, r := range o.Status.ReservedFor {
			if due != nil && r.APIGroup == "" && r.Resource == "pods" {
				want[r.Name] = true
			}
		}
	}
	var out controller.Result
	for name := range want {
		out.Enqueue = append(out.Enqueue, controller.Request{Namespace: namespace, Name: ofPod + name})
	}
	return out, nil
}

// reconcilePod evicts a pod when its time has come.
func (e *evictor) reconcilePod(c client.Client, namespace, name string) (controller.Result, error) {
	k := key{namespace, name}
	p := &pod{}
	if err := c.Get(p, namespace, name); err != nil {
		if client.IsNotFound(err) {
			delete(e.waiting, k)
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if had, ok := e.waiting[k]; ok && had.uid != p.UID || p.DeletionTimestamp != nil {
		delete(e.waiting, k)
	}
	if !p.evictable() {
		return controller.Result{}, nil
	}
	due, by, err := e.evictionOfPod(c, p)
	if err != nil {
		return controller.Result{}, err
	}
	if due == nil {
		if _, ok := e.waiting[k]; ok {
			delete(e.waiting, k)
			c.Event(p, client.Note{Reason: "DeviceTaintManagerEviction", Message: "Cancelling deletion"})
		}
		return controller.Result{}, nil
	}
	out := controller.Result{RequeueAfter: due.when.Sub(e.now())}
	for name := range due.rules {
		out.Enqueue = append(out.Enqueue, controller.Request{Name: ofStatus + name})
	}
	if out.RequeueAfter > 0 {
		e.waiting[k] = waits{uid: p.UID, claims: by, rules: due.rules}
		return out, nil
	}
	out.RequeueAfter = 0
	switch err := e.evict(c, p); {
	case client.IsNotFound(err):
		delete(e.waiting, k)
		return controller.Result{}, nil
	case err != nil:
		return controller.Result{}, fmt.Errorf("evict pod %s/%s: %w", namespace, name, err)
	}
	delete(e.waiting, k)
	for _, uid := range due.rules {
		e.evicted[uid]++
	}
	return out, nil
}

// evict says why the pod goes, and deletes it.
func (e *evictor) evict(c client.Client, p *pod) error {
	c.Event(p, client.Note{Reason: "DeviceTaintManagerEviction", Message: "Marking for deletion"})
	why := *p // the patch answers into it
	if err := c.Patch(&why, client.Patch{Type: client.StrategicPatch, Subresource: "status", Data: marked(p, e.now())}); err != nil {
		return err
	}
	return c.Delete(p, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(p.UID)})
}

// evictionOfPod is when a pod has to go, and by which of its claims.
func (e *evictor) evictionOfPod(c client.Client, p *pod) (*eviction, map[string]bool, error) {
	var out *eviction
	by := map[string]bool{}
	for name, own := range p.claimsOf() {
		o := &claim{}
		if err := c.Get(o, p.Namespace, name); client.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, nil, err
		}
		if !p.uses(o, own) {
			continue
		}
		due, err := e.evictionOf(c, o)
		if err != nil {
			return nil, nil, err
		}
		if due != nil {
			out, by[name] = out.and(due), true
		}
	}
	return out, by, nil
}

// evictionOf is when the pods have to go that use a claim, by what is known of its devices.
func (e *evictor) evictionOf(c client.Client, o *claim) (*eviction, error) {
	if o.Status.Allocation == nil {
		return nil, nil
	}
	pools, err := poolsOf(c, o)
	if err != nil {
		return nil, err
	}
	var all []*rule
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return nil, err
	}
	return evictionOf(o, pools, all), nil
}

// poolsOf reads the pools of the devices that a claim has.
func poolsOf(c client.Client, o *claim) (map[pool][]*slice, error) {
	out := map[pool][]*slice{}
	for _, r := range o.Status.Allocation.Devices.Results {
		of := pool{r.Driver, r.Pool}
		if _, ok := out[of]; ok {
			continue
		}
		list, err := slicesIn(c, of)
		if err != nil {
			return nil, err
		}
		out[of] = list
	}
	return out, nil
}

// slicesIn are the current slices of a pool.
func slicesIn(c client.Client, of pool) ([]*slice, error) {
	var list []*slice
	if err := c.List(&list, client.ListOptions{Fields: "spec.pool.name=" + of.name}); err != nil {
		return nil, err
	}
	return current(of, list), nil
}

// usersOf requests the claims that have devices of a pool.
func usersOf(c client.Client, of pool) (controller.Result, error) {
	return claimsWhere(c, func(r *result) bool { return r.Driver == of.driver && r.Pool == of.name })
}

// claimsWhere requests the claims that have a certain device.
func claimsWhere(c client.Client, want func(*result) bool) (controller.Result, error) {
	var list []*claim
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	var out controller.Result
	for _, o := range list {
		if o.has(want) > 0 {
			out.Enqueue = append(out.Enqueue, controller.Request{Namespace: o.Namespace, Name: o.Name})
		}
	}
	return out, nil
}

// has counts devices of the claim.
func (o *claim) has(want func(*result) bool) (n int) {
	if o.Status.Allocation == nil {
		return 0
	}
	for i := range o.Status.Allocation.Devices.Results {
		if want(&o.Status.Allocation.Devices.Results[i]) {
			n++
		}
	}
	return n
}
