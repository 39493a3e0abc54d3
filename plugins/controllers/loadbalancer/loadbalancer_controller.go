// Package loadbalancer gives Services of type LoadBalancer their addresses where no
// cloud does: from a pool, or those of the nodes. Node agents serve what the Services'
// status says; that packets to a pool reach a node is the network's part.
//
// Somebody else's controller takes its place for the Services of a class, or, with
// onlyClass, for those without one.
package loadbalancer

import (
	"errors"
	"net/netip"
	"time"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "load-balancer", New: func(raw []byte) (sdk.Points, error) {
		s, err := parse(raw)
		if err != nil {
			return nil, err
		}
		// One worker: of two Services at a time, both could take one address.
		return &controller.Points{Watches: s.watches(), Workers: 1, Implements: []string{}, Reconcile: s.reconcile}, nil
	}})
}

// In place of a name: the Services that have no address, for which there may be one
// now; and all, whose addresses may be others now.
const (
	pending  = "?"
	everyone = "*"
)

func (s *settings) watches() []controller.Watch {
	identity := []string{"metadata.namespace", "metadata.name"}
	all := func(sdk.Value) []controller.Request { return []controller.Request{{Name: everyone}} }
	waiting := func(sdk.Value) []controller.Request { return []controller.Request{{Name: pending}} }
	typed := append([]string{"spec.type", "status.conditions"}, identity...)
	w := []controller.Watch{
		{Resource: services, Map: controller.Added(concerned), Fields: typed},
		{Resource: services, Map: controller.Changed(itself, "spec.type", "spec.ports", "spec.loadBalancerClass", "spec.loadBalancerIP", "spec.loadBalancerSourceRanges",
			traffic, "metadata.annotations", "metadata.deletionTimestamp", "status.loadBalancer"), Fields: identity},
		// What one gives up, another may wait for.
		{Resource: services, Map: controller.Changed(waiting, "spec.type", "spec.ports", "status.loadBalancer"), Fields: identity},
		{Resource: services, Map: controller.Deleted(freed), Fields: []string{"spec.type"}},
	}
	if len(s.pool) > 0 {
		return w
	}
	return append(w,
		// A port that one gets, another may have to give up.
		controller.Watch{Resource: services, Map: controller.Changed(all, "spec.ports"), Fields: identity},
		controller.Watch{Resource: nodes, Map: controller.Added(all), Fields: identity},
		controller.Watch{Resource: nodes, Map: controller.Deleted(all), Fields: identity},
		// Readiness is seen by the taints: conditions are written again and again.
		controller.Watch{Resource: nodes, Map: controller.Changed(all, "metadata.labels", "spec.taints", "status.addresses"), Fields: identity},
		controller.Watch{Resource: endpointSlices, Map: controller.Label(serviceLabel)})
}

func itself(o sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: o.Get("metadata.name").String()}}
}

// concerned requests a Service that is of the type, or may have been.
func concerned(o sdk.Value) []controller.Request {
	if o.Get("spec.type").String() != balanced && o.Get("status.conditions").Len() == 0 {
		return nil
	}
	return itself(o)
}

func freed(o sdk.Value) []controller.Request {
	if o.Get("spec.type").String() != balanced {
		return nil
	}
	return []controller.Request{{Name: pending}}
}

// balanced is the type of the Services that this is about.
const balanced = "LoadBalancer"

func (s *settings) reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	if q.Name == everyone || q.Name == pending {
		return s.many(c, q.Name == pending)
	}
	svc := &service{}
	if err := c.Get(svc, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	switch {
	case s.serves(svc):
		return controller.Result{}, s.ensure(c, svc, c.Now())
	case svc.mark() != nil:
		return controller.Result{}, release(c, svc)
	}
	return controller.Result{}, nil
}

// many asks for the Services of the type, or for those of them without an address.
func (s *settings) many(c client.Client, without bool) (controller.Result, error) {
	var res controller.Result
	all, err := list(c)
	for _, x := range all {
		if s.serves(x) && (!without || len(x.Status.LoadBalancer.Ingress) == 0) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: x.Metadata.Namespace, Name: x.Metadata.Name})
		}
	}
	return res, err
}

// list are all Services of the type.
func list(c client.Client) ([]*service, error) {
	var all []*service
	err := c.List(&all, client.ListOptions{Fields: "spec.type=" + balanced})
	return all, err
}

// refusal says why a Service gets no address; it is told in an event.
type refusal struct{ why error }

func (r refusal) Error() string { return r.why.Error() }

// ensure gives a Service its addresses.
func (s *settings) ensure(c client.Client, svc *service, now time.Time) error {
	addresses, err := s.addresses(c, svc)
	var no refusal
	if err != nil && !errors.As(err, &no) {
		return err
	}
	want, mark := status(addresses), newMark(addresses, err)
	written := same(svc.Status.LoadBalancer.Ingress, want) && svc.says(mark)
	if err == nil && written {
		return nil
	}
	c.Event(svc, client.Note{Reason: "EnsuringLoadBalancer", Message: "Ensuring load balancer"})
	if !written {
		if err := setStatus(c, svc, want, svc.conditions(&mark, now)); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		// It is looked at again when what it lacks is there.
		c.Event(svc, client.Note{Warning: true, Reason: "SyncLoadBalancerFailed", Message: "Error syncing load balancer: failed to ensure load balancer: " + no.Error()})
	case len(addresses) == 0:
		c.Event(svc, client.Note{Warning: true, Reason: "UnAvailableLoadBalancer", Message: "There are no available nodes for LoadBalancer"})
	default:
		c.Event(svc, client.Note{Reason: "EnsuredLoadBalancer", Message: "Ensured load balancer"})
	}
	return nil
}

// addresses are those that a Service is to have.
func (s *settings) addresses(c client.Client, svc *service) ([]netip.Addr, error) {
	if svc.restricted() {
		return nil, refusal{errors.New("loadBalancerSourceRanges: nodes cannot keep other sources out: leave them out and have a firewall do it, or use the load balancer of another class")}
	}
	all, err := list(c)
	if err != nil {
		return nil, err
	}
	others := make([]*service, 0, len(all))
	for _, o := range all {
		if o.Metadata.UID != svc.Metadata.UID {
			others = append(others, o)
		}
	}
	if len(s.pool) > 0 {
		return refused(s.fromPool(svc, others))
	}
	var have []*node
	if err := c.List(&have, client.ListOptions{}); err != nil {
		return nil, err
	}
	var here map[string]bool
	if svc.local() {
		var eps []*slice
		if err := c.List(&eps, client.ListOptions{Namespace: svc.Metadata.Namespace, Labels: serviceLabel + "=" + svc.Metadata.Name}); err != nil {
			return nil, err
		}
		here = serving(eps)
	}
	return refused(s.fromNodes(svc, others, eligible(have), here))
}

func refused(a []netip.Addr, err error) ([]netip.Addr, error) {
	if err != nil {
		return nil, refusal{err}
	}
	return a, nil
}

// release takes the addresses from a Service that wants none any more, or none of this
// controller; those that somebody else has written stay.
func release(c client.Client, svc *service) error {
	ingress := svc.Status.LoadBalancer.Ingress
	if len(ingress) > 0 && !svc.given() {
		return setStatus(c, svc, ingress, svc.conditions(nil, time.Time{}))
	}
	c.Event(svc, client.Note{Reason: "DeletingLoadBalancer", Message: "Deleting load balancer"})
	if err := setStatus(c, svc, nil, svc.conditions(nil, time.Time{})); err != nil {
		return err
	}
	c.Event(svc, client.Note{Reason: "DeletedLoadBalancer", Message: "Deleted load balancer"})
	return nil
}

// setStatus writes the addresses and the conditions of a Service as it was read.
func setStatus(c client.Client, svc *service, ingress []corev1.LoadBalancerIngress, conditions []metav1.Condition) error {
	err := c.Patch(svc, client.Patch{Subresource: "status", Data: map[string]any{
		"metadata": map[string]any{"uid": svc.Metadata.UID, "resourceVersion": svc.Metadata.ResourceVersion},
		"status":   map[string]any{"loadBalancer": map[string]any{"ingress": ingress}, "conditions": conditions}}})
	if client.IsNotFound(err) {
		return nil
	}
	return err
}
