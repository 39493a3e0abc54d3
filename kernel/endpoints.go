package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
)

// endpoints keep the addresses of all servers in the EndpointSlice of Service
// default/kubernetes. Each server says that it is there by a Lease of its own;
// the address of one whose Lease has not changed for a while goes. Upstream's
// reconciler by leases does the same.
//
// All servers write the same slice from the same Leases. Like a leader's lease,
// one is judged by how long this server has seen it unchanged, not by the time in
// it. It is used by one goroutine.
type endpoints struct {
	own       ownWrites
	identity  string
	advertise netip.AddrPort
	clock     clock.PassiveClock
	log       *slog.Logger

	unreachable, otherPort sync.Once // warn once that pods cannot reach the server
	seen                   map[string]sighting
}

// sighting is a server's Lease, and since when it has been as it is.
type sighting struct {
	revision string
	since    time.Time
}

// endpointLasts is how long a server that says nothing is still an endpoint:
// three of its renewals may be lost, and the fourth look after the last removes
// it.
const endpointLasts = 4*keepEvery - keepEvery/2

// forgetAfter is when the Lease of a server that is gone is removed.
const forgetAfter = time.Hour

// The label of servers' Leases is upstream's; the annotation is where the server
// is reached.
const (
	identityLabel      = "apiserver.kubernetes.io/identity"
	identityValue      = "kube-apiserver"
	endpointAnnotation = "pintle.dev/endpoint"
)

// leaseName is upstream's form: letters and digits of whatever the identity is.
func (e *endpoints) leaseName() string {
	sum := sha256.Sum256([]byte(e.identity))
	return "apiserver-" + hex.EncodeToString(sum[:10])
}

// publish renews this server's Lease and writes the slice if it is not as it
// should be; read says how what there is may be read.
func (e *endpoints) publish(ctx context.Context, read metav1.GetOptions) error {
	if a := e.advertise.Addr(); a.IsLoopback() || a.IsLinkLocalUnicast() {
		// The API takes no such endpoint, and no pod would reach it.
		e.unreachable.Do(func() {
			e.log.Warn("pods cannot reach the API server: its address is of this machine only", "address", a)
		})
		return nil
	}
	if err := e.renew(ctx, read); err != nil {
		return fmt.Errorf("lease of this server: %w", err)
	}
	addrs, err := e.servers(ctx)
	if err != nil {
		return err
	}
	return e.write(ctx, addrs, read)
}

// leave takes this server out of the slice, so that nobody tries it in vain. The
// last one stays: without endpoints pods are refused, with one they wait.
func (e *endpoints) leave(ctx context.Context) {
	if e.seen == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	t := registry.Target{Resource: leases, Namespace: metav1.NamespaceSystem, Name: e.leaseName()}
	_, err := e.own.Delete(ctx, t, metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		var addrs []netip.AddrPort
		if addrs, err = e.servers(ctx); err == nil && len(addrs) > 0 {
			err = e.write(ctx, addrs, metav1.GetOptions{})
		}
	}
	if err != nil {
		e.log.Debug("this server is an endpoint of the API until its lease runs out", "error", err)
	}
}

// renew writes this server's Lease.
func (e *endpoints) renew(ctx context.Context, read metav1.GetOptions) error {
	t := registry.Target{Resource: leases, Namespace: metav1.NamespaceSystem, Name: e.leaseName()}
	now, seconds := metav1.NewMicroTime(e.clock.Now()), int32(endpointLasts/time.Second)
	want := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: t.Name, Labels: map[string]string{identityLabel: identityValue}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &e.identity, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	have, err := e.own.Get(ctx, t, read)
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
	want.Annotations[endpointAnnotation] = e.advertise.String()
	if have == nil {
		t.Name = ""
		_, err = e.own.Create(ctx, t, want, registry.WriteOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			return nil // a read from the cache was older
		}
		return err
	}
	_, err = e.own.Update(ctx, t, want, registry.WriteOptions{FieldManager: fieldManager})
	if apierrors.IsConflict(err) && read.ResourceVersion != "" {
		return e.renew(ctx, metav1.GetOptions{}) // the cache was older
	}
	return err
}

// servers are the addresses of the servers that are there, in order.
func (e *endpoints) servers(ctx context.Context) ([]netip.AddrPort, error) {
	t := registry.Target{Resource: leases, Namespace: metav1.NamespaceSystem}
	l, err := e.own.List(ctx, t, metav1.ListOptions{LabelSelector: identityLabel + "=" + identityValue})
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
		last, known := e.seen[x.Name]
		if !known || last.revision != x.ResourceVersion {
			last = sighting{x.ResourceVersion, e.clock.Now()}
		}
		if e.clock.Since(last.since) > forgetAfter {
			_, _ = e.own.Delete(ctx, registry.Target{Resource: leases, Namespace: x.Namespace, Name: x.Name}, metav1.DeleteOptions{}) // the next look tries again
			continue
		}
		seen[x.Name] = last
		addr, err := netip.ParseAddrPort(x.Annotations[endpointAnnotation])
		if err == nil && e.clock.Since(last.since) < endpointLasts && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	e.seen = seen
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out, nil
}

// write makes the slice name these servers. It is upstream's in name and labels,
// and has one port: that of the first server, so that all write the same.
func (e *endpoints) write(ctx context.Context, addrs []netip.AddrPort, read metav1.GetOptions) error {
	if len(addrs) == 0 {
		return nil
	}
	name, tcp, port, ready := "https", corev1.ProtocolTCP, int32(addrs[0].Port()), true
	if addrs[0].Port() != e.advertise.Port() {
		e.otherPort.Do(func() {
			e.log.Warn("pods do not reach this API server: all servers of a cluster must have one port", "address", e.advertise, "first", addrs[0])
		})
	}
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: kubernetesName, Labels: map[string]string{discoveryv1.LabelServiceName: kubernetesName}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Protocol: &tcp, Port: &port}},
	}
	for _, a := range addrs {
		if int32(a.Port()) == port {
			want.Endpoints = append(want.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
		}
	}
	t := registry.Target{Resource: endpointSlices, Namespace: want.Namespace, Name: want.Name}
	have, err := e.own.Get(ctx, t, read)
	if apierrors.IsNotFound(err) {
		return e.own.ensure(ctx, endpointSlices, want, read)
	}
	if err != nil {
		return err
	}
	old, ok := have.Obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return errors.New("endpoint slice kubernetes is of another kind")
	}
	if reflect.DeepEqual(old.Endpoints, want.Endpoints) && reflect.DeepEqual(old.Ports, want.Ports) {
		return nil
	}
	next := old.DeepCopy()
	next.Endpoints, next.Ports = want.Endpoints, want.Ports
	if _, err = e.own.Update(ctx, t, next, registry.WriteOptions{FieldManager: fieldManager}); apierrors.IsConflict(err) {
		return nil // another server was quicker, from the same leases
	}
	return err
}
