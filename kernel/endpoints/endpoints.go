// Package endpoints keeps the addresses of all servers in the EndpointSlices, and in
// the legacy Endpoints, of Service default/kubernetes. Each server says that it is there by a Lease of its
// own; the address of one whose Lease has not changed for a while goes. Upstream's
// reconciler by leases does the same. Start at [Endpoints.Publish].
package endpoints

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Registry is what Endpoints need of the registry.
type Registry interface {
	Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error)
	List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error)
	Create(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error)
	Update(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error)
	Delete(ctx context.Context, t registry.Target, o metav1.DeleteOptions) (*registry.Result, error)
}

// Config is what Endpoints are made of. All but Clock and Log is required.
type Config struct {
	Registry Registry
	// Identity names this server, and no other of the cluster.
	Identity string
	// Advertise is where pods and nodes reach this server.
	Advertise netip.AddrPort
	Clock     clock.PassiveClock // nil is the real one
	Log       *slog.Logger       // nil discards
}

// Endpoints are those of Service default/kubernetes, as one server sees and writes
// them. They are used by one goroutine.
//
// All servers write the same slices from the same Leases. Like a leader's lease,
// one is judged by how long this server has seen it unchanged, not by the time in
// it; only one that is seen for the first time and that nobody can have renewed
// for a while, whatever clocks say, is dead at once.
type Endpoints struct {
	c Config

	unreachable, otherPort sync.Once // warn once that pods cannot reach the server
	seen                   map[string]sighting
}

// New makes Endpoints. Nothing is written before Publish.
func New(c Config) *Endpoints {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Advertise = netip.AddrPortFrom(c.Advertise.Addr().Unmap(), c.Advertise.Port())
	return &Endpoints{c: c}
}

// Every is how often Publish is called; upstream's interval.
const Every = 10 * time.Second

// sighting is a server's Lease, and since when it has been as it is.
type sighting struct {
	revision string
	since    time.Time
}

// lasts is how long a server that says nothing is still an endpoint:
// three of its renewals may be lost, and the fourth look after the last removes
// it.
const lasts = 4*Every - Every/2

// skew is how far the clocks of two servers may be apart.
const skew = time.Minute

// The Lease of a server that is gone is removed when another has seen it unchanged
// for forgetAfter, or when its last renewal is longer ago than clocks can be wrong
// where certificates are checked.
const (
	forgetAfter    = time.Hour
	abandonedAfter = 24 * time.Hour
)

// The label of servers' Leases is upstream's; the annotation is where the server
// is reached.
const (
	identityLabel      = "apiserver.kubernetes.io/identity"
	identityValue      = "kube-apiserver"
	endpointAnnotation = "pintle.dev/endpoint"
)

// Reader is what Address needs of the registry.
type Reader interface {
	Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error)
}

// Address is where the server of an identity is reached, as its Lease says. It may
// have ended meanwhile.
func Address(ctx context.Context, r Reader, identity string) (netip.AddrPort, error) {
	t := registry.Target{Resource: Leases, Namespace: metav1.NamespaceSystem, Name: leaseName(identity)}
	o, err := r.Get(ctx, t, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return netip.AddrPort{}, err
	}
	l, ok := o.Obj.(*coordinationv1.Lease)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("lease %s is a %T", t.Name, o.Obj)
	}
	return netip.ParseAddrPort(l.Annotations[endpointAnnotation])
}

// leaseName names a server's Lease in upstream's form: letters and digits of
// whatever the identity is.
func leaseName(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return "apiserver-" + hex.EncodeToString(sum[:10])
}

// Publish renews this server's Lease and writes the slices if they are not as they
// should be; read says how what there is may be read.
func (e *Endpoints) Publish(ctx context.Context, read metav1.GetOptions) error {
	if a := e.c.Advertise.Addr(); a.IsLoopback() || a.IsLinkLocalUnicast() {
		// The API takes no such endpoint, and no pod would reach it.
		e.unreachable.Do(func() {
			e.c.Log.Warn("pods cannot reach the API server: its address is of this machine only", "address", a)
		})
		return nil
	}
	if err := e.renew(ctx, read); err != nil {
		return fmt.Errorf("lease of this server: %w", err)
	}
	addrs, err := e.servers(ctx, read)
	if err != nil {
		return err
	}
	return e.write(ctx, addrs, read)
}

// Ensure publishes this server if the slices do not name it, and reports whether it
// did. A server that starts again mostly finds itself there, and can answer before
// it writes: Publish is due soon then.
// RATIONALE.md: "Why does a server that starts again write nothing first?"
func (e *Endpoints) Ensure(ctx context.Context, read metav1.GetOptions) (published bool, err error) {
	if named, err := e.named(ctx, read); named || err != nil {
		return false, err
	}
	return true, e.Publish(ctx, read)
}

// named tells whether the slices name this server.
func (e *Endpoints) named(ctx context.Context, read metav1.GetOptions) (bool, error) {
	for _, f := range families {
		if !f.has(e.c.Advertise.Addr()) {
			continue
		}
		o, err := e.c.Registry.Get(ctx, registry.Target{Resource: Slices, Namespace: metav1.NamespaceDefault, Name: f.name}, read)
		if err != nil {
			if apierrors.IsNotFound(err) {
				err = nil
			}
			return false, err
		}
		s, ok := o.Obj.(*discoveryv1.EndpointSlice)
		if !ok || len(s.Ports) != 1 || s.Ports[0].Port == nil || *s.Ports[0].Port != int32(e.c.Advertise.Port()) {
			return false, nil
		}
		return slices.ContainsFunc(s.Endpoints, func(x discoveryv1.Endpoint) bool {
			return slices.Contains(x.Addresses, e.c.Advertise.Addr().String())
		}), nil
	}
	return false, nil
}

// Leave takes this server out of the slices, so that nobody tries it in vain. The
// last one stays: without endpoints pods are refused, with one they wait.
func (e *Endpoints) Leave(ctx context.Context) {
	if e.seen == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	t := registry.Target{Resource: Leases, Namespace: metav1.NamespaceSystem, Name: leaseName(e.c.Identity)}
	_, err := e.c.Registry.Delete(ctx, t, metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		var addrs []netip.AddrPort
		if addrs, err = e.servers(ctx, metav1.GetOptions{}); err == nil && len(addrs) > 0 {
			err = e.write(ctx, addrs, metav1.GetOptions{})
		}
	}
	if err != nil {
		e.c.Log.Debug("this server is an endpoint of the API until its lease runs out", "error", err)
	}
}

// renew writes this server's Lease.
func (e *Endpoints) renew(ctx context.Context, read metav1.GetOptions) error {
	t := registry.Target{Resource: Leases, Namespace: metav1.NamespaceSystem, Name: leaseName(e.c.Identity)}
	now, seconds := metav1.NewMicroTime(e.c.Clock.Now()), int32(lasts/time.Second)
	want := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: t.Name, Labels: map[string]string{identityLabel: identityValue}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &e.c.Identity, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	have, err := e.c.Registry.Get(ctx, t, read)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	default:
		want = have.Obj.(*coordinationv1.Lease).DeepCopy()
		want.Spec.RenewTime, want.Spec.LeaseDurationSeconds = &now, &seconds
	}
	if want.Annotations == nil {
		want.Annotations = map[string]string{}
	}
	want.Annotations[endpointAnnotation] = e.c.Advertise.String()
	if have == nil {
		t.Name = ""
		_, err = e.c.Registry.Create(ctx, t, want, asServer)
		if apierrors.IsAlreadyExists(err) {
			return nil // a read from the cache was older
		}
		return err
	}
	_, err = e.c.Registry.Update(ctx, t, want, asServer)
	if apierrors.IsConflict(err) && read.ResourceVersion != "" {
		return e.renew(ctx, metav1.GetOptions{}) // the cache was older
	}
	return err
}

// judge says since when a Lease has not been renewed, as far as this server can
// tell, and whether it is to be removed.
func (e *Endpoints) judge(x *coordinationv1.Lease) (s sighting, forget bool) {
	now := e.c.Clock.Now()
	s, known := e.seen[x.Name]
	if known && s.revision == x.ResourceVersion {
		return s, now.Sub(s.since) > forgetAfter
	}
	s = sighting{x.ResourceVersion, now}
	if known || x.Spec.RenewTime == nil {
		return s, false
	}
	age := now.Sub(x.Spec.RenewTime.Time)
	if age > lasts+skew {
		s.since = now.Add(-lasts) // it died before this server started
	}
	return s, age > abandonedAfter
}

// servers are the addresses of the servers that are there, in order.
func (e *Endpoints) servers(ctx context.Context, read metav1.GetOptions) ([]netip.AddrPort, error) {
	t := registry.Target{Resource: Leases, Namespace: metav1.NamespaceSystem}
	l, err := e.c.Registry.List(ctx, t, metav1.ListOptions{LabelSelector: identityLabel + "=" + identityValue, ResourceVersion: read.ResourceVersion})
	if err != nil {
		return nil, err
	}
	seen := map[string]sighting{}
	var out []netip.AddrPort
	for _, o := range l.Items {
		x, ok := o.Obj.(*coordinationv1.Lease)
		if !ok {
			continue
		}
		last, forget := e.judge(x)
		if forget {
			_, _ = e.c.Registry.Delete(ctx, registry.Target{Resource: Leases, Namespace: x.Namespace, Name: x.Name}, metav1.DeleteOptions{}) // the next look tries again
			continue
		}
		seen[x.Name] = last
		addr, err := netip.ParseAddrPort(x.Annotations[endpointAnnotation])
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		if err == nil && e.c.Clock.Since(last.since) < lasts && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	e.seen = seen
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out, nil
}

// families are the slices, one for each family of addresses. The name of the
// first is upstream's, which has one slice.
var families = []struct {
	addressType discoveryv1.AddressType
	name        string
	has         func(netip.Addr) bool
}{
	{discoveryv1.AddressTypeIPv4, kubernetes, netip.Addr.Is4},
	{discoveryv1.AddressTypeIPv6, kubernetes + "-ipv6", netip.Addr.Is6},
}

// kubernetes is upstream's name of the Service and of its EndpointSlice.
const kubernetes = "kubernetes"

// What is read and written, beside Service kubernetes.
var (
	Leases = coordinationv1.SchemeGroupVersion.WithResource("leases")
	Slices = discoveryv1.SchemeGroupVersion.WithResource("endpointslices")
)

// asServer is how the server's own objects are written.
var asServer = registry.WriteOptions{FieldManager: "pintle"}

// write makes the slices name these servers, in order.
func (e *Endpoints) write(ctx context.Context, addrs []netip.AddrPort, read metav1.GetOptions) error {
	if len(addrs) == 0 {
		return nil // rather a server that may be gone than none
	}
	var legacy *corev1.Endpoints // those of the first family that there is
	for _, f := range families {
		mine := slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return !f.has(a.Addr()) })
		want := e.slice(f.name, f.addressType, mine)
		if err := e.writeSlice(ctx, want, read); err != nil {
			return fmt.Errorf("endpoint slice %s: %w", f.name, err)
		}
		if legacy == nil && len(want.Endpoints) > 0 {
			legacy = legacyOf(want)
		}
	}
	if legacy == nil {
		return nil
	}
	if err := e.writeLegacy(ctx, legacy, read); err != nil {
		return fmt.Errorf("endpoints %s: %w", legacy.Name, err)
	}
	return nil
}

// slice is the slice of one family. It has one port: that of the first server, so
// that all write the same.
func (e *Endpoints) slice(name string, family discoveryv1.AddressType, addrs []netip.AddrPort) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: kubernetes}},
		AddressType: family,
	}
	if len(addrs) == 0 {
		return s
	}
	portName, tcp, port, ready := "https", corev1.ProtocolTCP, int32(addrs[0].Port()), true
	s.Ports = []discoveryv1.EndpointPort{{Name: &portName, Protocol: &tcp, Port: &port}}
	if slices.Contains(addrs, e.c.Advertise) && addrs[0].Port() != e.c.Advertise.Port() {
		e.otherPort.Do(func() {
			e.c.Log.Warn("pods do not reach this API server: all servers of a cluster must have one port", "address", e.c.Advertise, "first", addrs[0])
		})
	}
	for _, a := range addrs {
		if int32(a.Port()) == port {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
		}
	}
	return s
}

// writeSlice makes a slice be as wanted; without endpoints it goes.
func (e *Endpoints) writeSlice(ctx context.Context, want *discoveryv1.EndpointSlice, read metav1.GetOptions) error {
	t := registry.Target{Resource: Slices, Namespace: want.Namespace, Name: want.Name}
	have, err := e.c.Registry.Get(ctx, t, read)
	switch {
	case apierrors.IsNotFound(err) && len(want.Endpoints) == 0:
		return nil
	case apierrors.IsNotFound(err):
		t.Name = ""
		_, err = e.c.Registry.Create(ctx, t, want, asServer)
	case err != nil:
	case len(want.Endpoints) == 0:
		_, err = e.c.Registry.Delete(ctx, t, metav1.DeleteOptions{})
	default:
		err = e.updateSlice(ctx, t, have, want)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return nil // another server was quicker, from the same leases
	}
	return err
}

func (e *Endpoints) updateSlice(ctx context.Context, t registry.Target, have *watch.Object, want *discoveryv1.EndpointSlice) error {
	old, ok := have.Obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return fmt.Errorf("it is a %T", have.Obj)
	}
	if old.AddressType != want.AddressType { // which cannot be changed; the next look makes it anew
		_, err := e.c.Registry.Delete(ctx, t, metav1.DeleteOptions{})
		return err
	}
	if reflect.DeepEqual(old.Endpoints, want.Endpoints) && reflect.DeepEqual(old.Ports, want.Ports) {
		return nil
	}
	next := old.DeepCopy()
	next.Endpoints, next.Ports = want.Endpoints, want.Ports
	_, err := e.c.Registry.Update(ctx, t, next, asServer)
	return err
}
