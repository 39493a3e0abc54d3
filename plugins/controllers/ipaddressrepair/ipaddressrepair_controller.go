// Package ipaddressrepair keeps Services and their IPAddresses together: an address
// that a Service has and nobody claims is claimed, a claim without its Service goes,
// and what cannot be mended is told in events. Servers write both in one transaction,
// so that there is work only after people, or another cluster's software, wrote one of
// them. It is the repair loop that Kubernetes has in its API server (KEP-1880).
package ipaddressrepair

import (
	"net/netip"
	"time"

	"github.com/pintle-io/pintle/sdk"
	networkingv1 "github.com/pintle-io/pintle/sdk/api/networking/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	services = "v1/services"
	claims   = "networking.k8s.io/v1/ipaddresses"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "ip-address-repair", New: func([]byte) (sdk.Points, error) {
		identity := []string{"metadata.namespace", "metadata.name"}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: services, Map: controller.Added(itself), Present: []string{"spec.clusterIPs"}, Fields: identity},
				{Resource: services, Map: controller.Changed(itself, "spec.clusterIPs", "spec.type"), Fields: identity},
				{Resource: claims},
				// Who has lost a claim gets it back, and who is named by one is asked about it.
				{Resource: claims, Map: controller.Func(named), Fields: []string{"spec.parentRef"}},
			},
			Implements: []string{}, // servers give addresses
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				if q.Namespace == "" {
					return reconcileClaim(c, q.Name, c.Now())
				}
				return reconcileService(c, q, c.Now())
			},
		}, nil
	}})
}

func itself(o sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: o.Get("metadata.name").String()}}
}

// named requests the Service that an IPAddress names.
func named(o sdk.Value) []controller.Request {
	p := o.Get("spec.parentRef")
	ns := p.Get("namespace").String()
	if p.Get("group").String() != "" || p.Get("resource").String() != "services" || ns == "" {
		return nil
	}
	return []controller.Request{{Namespace: ns, Name: p.Get("name").String()}}
}

// reconcileService sees to the claims of a Service.
func reconcileService(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	s, err := serviceOf(c, q.Namespace, q.Name)
	if err != nil || s == nil || s.Metadata.DeletionTimestamp != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, ip := range s.addresses() {
		a, err := netip.ParseAddr(ip)
		if err != nil {
			c.Event(s, warn("ClusterIPNotValid", "Cluster IP %s is not a valid IP; please recreate Service", ip))
			continue
		}
		after, err := reconcileAddress(c, s, a, now)
		if err != nil {
			return controller.Result{}, err
		}
		res.RequeueAfter = max(res.RequeueAfter, after)
	}
	return res, nil
}

// reconcileAddress sees to one address of a Service, and says when it is to be looked
// at again; 0 is when something changes.
func reconcileAddress(c client.Client, s *service, a netip.Addr, now time.Time) (time.Duration, error) {
	var all []*networkingv1.ServiceCIDR
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return 0, err
	}
	if !inRange(a, all) {
		c.Event(s, warn("ClusterIPOutOfRange", "Cluster IP [%v]: %s is not within any configured Service CIDR; please recreate service", family(a), a))
		return 0, nil
	}
	have, err := claimOf(c, a.String())
	if err != nil {
		return 0, err
	}
	var owner *service
	if have != nil && ofService(have) {
		if owner, err = serviceOf(c, have.Spec.ParentRef.Namespace, have.Spec.ParentRef.Name); err != nil {
			return 0, err
		}
	}
	f := check(s, a, have, owner, now)
	if f.claim {
		if made, err := claim(c, s, a, have); err != nil || !made {
			return 0, err
		}
	}
	if f.note.Reason != "" {
		c.Event(s, f.note)
	}
	return f.after, nil
}

// claim makes the claim of an address in place of the one that there is. made is false
// when somebody was faster, whose claim is looked at when it is seen.
func claim(c client.Client, s *service, a netip.Addr, have *networkingv1.IPAddress) (made bool, err error) {
	if have != nil {
		if err := remove(c, have); err != nil {
			return false, err
		}
	}
	err = c.Create(newClaim(s, a))
	if client.IsAlreadyExists(err) {
		return false, nil
	}
	return err == nil, err
}

// reconcileClaim sees to a claim whose Service does not have it.
func reconcileClaim(c client.Client, name string, now time.Time) (controller.Result, error) {
	x, err := claimOf(c, name)
	if err != nil || x == nil || x.Labels[networkingv1.LabelManagedBy] != allocator || x.DeletionTimestamp != nil {
		return controller.Result{}, err
	}
	var owner *service
	if ofService(x) {
		if owner, err = serviceOf(c, x.Spec.ParentRef.Namespace, x.Spec.ParentRef.Name); err != nil {
			return controller.Result{}, err
		}
	}
	f := judge(x, owner, now)
	if !f.remove {
		return controller.Result{RequeueAfter: f.after}, nil
	}
	c.Event(x, f.note)
	return controller.Result{}, remove(c, x)
}

// remove deletes a claim as it was read.
func remove(c client.Client, x *networkingv1.IPAddress) error {
	o := client.DeleteOptions{Preconditions: client.NewUIDPreconditions(x.UID)}
	o.Preconditions.ResourceVersion = &x.ResourceVersion
	err := c.Delete(x, o)
	if client.IsNotFound(err) {
		return nil
	}
	return err
}

func serviceOf(c client.Client, namespace, name string) (*service, error) {
	s := &service{}
	err := c.Get(s, namespace, name)
	if client.IsNotFound(err) {
		return nil, nil
	}
	return s, err
}

func claimOf(c client.Client, name string) (*networkingv1.IPAddress, error) {
	x := &networkingv1.IPAddress{}
	err := c.Get(x, "", name)
	if client.IsNotFound(err) {
		return nil, nil
	}
	return x, err
}
