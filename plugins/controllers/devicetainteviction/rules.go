package devicetainteviction

import (
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// remember is how often a rule that has evicted comes back, so that what is remembered of
// it is not lost.
const remember = time.Hour

// reconcileRule says what a new or changed rule will do, and requests what it is about:
// the claims that it selects, and the pods that waited on account of it.
func (e *evictor) reconcileRule(c client.Client, name string) (controller.Result, error) {
	out := controller.Result{}
	for k, w := range e.waiting {
		if _, ok := w.rules[name]; ok {
			out.Enqueue = append(out.Enqueue, controller.Request{Namespace: k.namespace, Name: ofPod + k.name})
		}
	}
	r := &rule{}
	if err := c.Get(r, "", name); err != nil {
		if client.IsNotFound(err) {
			return out, e.forget(c)
		}
		return controller.Result{}, err
	}
	if _, err := e.reconcileStatus(c, name); err != nil {
		return controller.Result{}, err
	}
	affected, err := claimsWhere(c, func(x *result) bool { return r.selects(x.Driver, x.Pool, x.Device) })
	if err != nil {
		return controller.Result{}, err
	}
	out.Enqueue = append(append(out.Enqueue, affected.Enqueue...), controller.Request{Name: ofStatus + name})
	return out, nil
}

// forget drops what is remembered of rules that are gone.
func (e *evictor) forget(c client.Client) error {
	var all []*rule
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return err
	}
	left := map[string]int64{}
	for _, r := range all {
		if n, ok := e.evicted[r.UID]; ok {
			left[r.UID] = n
		}
	}
	e.evicted = left
	return nil
}

// reconcileStatus writes the status of a rule, every ten seconds at most.
func (e *evictor) reconcileStatus(c client.Client, name string) (controller.Result, error) {
	r := &rule{}
	if err := c.Get(r, "", name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	now := e.now()
	if left := statusDue(r, now); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	if r.Spec.Taint.Effect == none && r.conditionOf() != nil && r.conditionOf().ObservedGeneration == r.Generation {
		return controller.Result{}, nil // it says that it is not updated again
	}
	n, err := e.count(c, r)
	if err != nil {
		return controller.Result{}, err
	}
	if p := statusPatch(r, conditionFor(r, n), now); p != nil {
		if err := c.Patch(r, client.Patch{Data: p, Subresource: "status"}); err != nil {
			return controller.Result{}, fmt.Errorf("add condition to DeviceTaintRule status: %w", err)
		}
	}
	switch {
	case n.pods > 0 && r.Spec.Taint.Effect == noExecute:
		return controller.Result{RequeueAfter: statusPeriod}, nil
	case n.evicted > 0:
		return controller.Result{RequeueAfter: remember}, nil
	}
	return controller.Result{}, nil
}

// count counts what the rule does, or would do if its effect were NoExecute.
func (e *evictor) count(c client.Client, r *rule) (counts, error) {
	n := counts{evicted: e.evicted[r.UID]}
	if r.Spec.Taint.Effect != noExecute && r.Spec.Taint.Effect != none {
		return n, nil
	}
	selected := func(x *result) bool { return r.selects(x.Driver, x.Pool, x.Device) }
	as := *r
	as.Spec.Taint.Effect = noExecute
	var list []*claim
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return n, err
	}
	affected, namespaces := map[key]bool{}, map[string]bool{}
	for _, o := range list {
		devices := o.has(selected)
		n.allocated += devices
		if devices == 0 || evictionOf(o, nil, []*rule{&as}) == nil {
			continue
		}
		for _, user := range o.Status.ReservedFor {
			k := key{o.Namespace, user.Name}
			if affected[k] || user.APIGroup != "" || user.Resource != "pods" {
				continue
			}
			if goes, err := wouldGo(c, o, user); err != nil {
				return n, err
			} else if goes {
				affected[k], namespaces[o.Namespace] = true, true
			}
		}
	}
	n.pods, n.namespaces = len(affected), len(namespaces)
	if r.Spec.Taint.Effect != none {
		return n, nil
	}
	var err error
	n.published, err = published(c, r)
	return n, err
}

// wouldGo tells whether the pod for which a claim is reserved runs with it.
func wouldGo(c client.Client, o *claim, user consumer) (bool, error) {
	p := &pod{}
	if err := c.Get(p, o.Namespace, user.Name); err != nil {
		if client.IsNotFound(err) {
			return false, nil
		}
		return false, err
	}
	own, names := p.claimsOf()[o.Name]
	return names && p.UID == user.UID && p.evictable() && p.uses(o, own), nil
}

// published counts the devices in slices that the rule selects.
func published(c client.Client, r *rule) (n int, err error) {
	var list []*slice
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return 0, err
	}
	pools := map[pool][]*slice{}
	for _, s := range list {
		of := pool{s.Spec.Driver, s.Spec.Pool.Name}
		pools[of] = append(pools[of], s)
	}
	for of, all := range pools {
		for _, s := range current(of, all) {
			for _, d := range s.Spec.Devices {
				if r.selects(of.driver, of.name, d.Name) {
					n++
				}
			}
		}
	}
	return n, nil
}
