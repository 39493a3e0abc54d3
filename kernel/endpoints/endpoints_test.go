package endpoints

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// objects are a registry's, by resource and name. Every write is a revision.
// Nothing is admitted, defaulted or validated.
type objects struct {
	revision int
	held     map[string]runtime.Object
	lists    []string // the resourceVersions of lists
}

func key(t registry.Target) string { return t.Resource.Resource + "/" + t.Name }

func (o *objects) put(t registry.Target, obj runtime.Object) {
	m := obj.(metav1.Object)
	t.Name = m.GetName()
	o.revision++
	obj = obj.DeepCopyObject()
	obj.(metav1.Object).SetResourceVersion(fmt.Sprint(o.revision))
	o.held[key(t)] = obj
}

func (o *objects) Get(_ context.Context, t registry.Target, _ metav1.GetOptions) (*watch.Object, error) {
	obj, ok := o.held[key(t)]
	if !ok {
		return nil, apierrors.NewNotFound(t.Resource.GroupResource(), t.Name)
	}
	return &watch.Object{Name: t.Name, Obj: obj}, nil
}

func (o *objects) List(_ context.Context, t registry.Target, opts metav1.ListOptions) (*registry.List, error) {
	o.lists = append(o.lists, opts.ResourceVersion)
	out := &registry.List{}
	for k, obj := range o.held {
		if strings.HasPrefix(k, t.Resource.Resource+"/") {
			out.Items = append(out.Items, &watch.Object{Obj: obj})
		}
	}
	return out, nil
}

func (o *objects) Create(_ context.Context, t registry.Target, obj runtime.Object, _ registry.WriteOptions) (*registry.Result, error) {
	o.put(t, obj)
	return nil, nil
}

func (o *objects) Update(_ context.Context, t registry.Target, obj runtime.Object, _ registry.WriteOptions) (*registry.Result, error) {
	o.put(t, obj)
	return nil, nil
}

func (o *objects) Delete(_ context.Context, t registry.Target, _ metav1.DeleteOptions) (*registry.Result, error) {
	if o.held[key(t)] == nil {
		return nil, apierrors.NewNotFound(t.Resource.GroupResource(), t.Name)
	}
	delete(o.held, key(t))
	return nil, nil
}

// addresses are those of a slice, with its type.
func (o *objects) addresses(name string) string {
	s, ok := o.held["endpointslices/"+name].(*discoveryv1.EndpointSlice)
	if !ok {
		return ""
	}
	out := []string{string(s.AddressType)}
	for _, e := range s.Endpoints {
		out = append(out, e.Addresses...)
	}
	return strings.Join(out, " ")
}

// legacy are the addresses of the Endpoints.
func (o *objects) legacy() string {
	e, ok := o.held["endpoints/kubernetes"].(*corev1.Endpoints)
	if !ok {
		return ""
	}
	var out []string
	for _, s := range e.Subsets {
		for _, a := range s.Addresses {
			out = append(out, a.IP)
		}
	}
	return strings.Join(out, " ")
}

// leases counts the servers' Leases.
func (o *objects) leases() (n int) {
	for k := range o.held {
		if strings.HasPrefix(k, "leases/") {
			n++
		}
	}
	return n
}

func newObjects() *objects { return &objects{held: map[string]runtime.Object{}} }

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// server is one that begins, with a clock of its own.
func server(o *objects, identity, address string, clock *testclock.FakeClock) *Endpoints {
	return New(Config{Registry: o, Identity: identity, Advertise: netip.MustParseAddrPort(address), Clock: clock})
}

func publish(t *testing.T, o *objects, e *Endpoints, want string) {
	t.Helper()
	if err := e.Publish(t.Context(), metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := o.addresses("kubernetes"); got != want {
		t.Errorf("%s: endpoints %q, want %q", e.c.Identity, got, want)
	}
	if got := o.legacy(); want != "" && got != strings.TrimPrefix(want, "IPv4 ") {
		t.Errorf("%s: legacy endpoints %q, want those of %q", e.c.Identity, got, want)
	}
}

// TestServerThatDies: its address goes when its Lease has not changed for a while,
// its Lease when it is long gone.
func TestServerThatDies(t *testing.T) {
	o, clock := newObjects(), testclock.NewFakeClock(start)
	a, b := server(o, "a", "192.0.2.1:6443", clock), server(o, "b", "192.0.2.2:6443", clock)
	publish(t, o, a, "IPv4 192.0.2.1")
	publish(t, o, b, "IPv4 192.0.2.1 192.0.2.2")
	for clock.Since(start) < lasts-Every {
		clock.Step(Every)
		publish(t, o, b, "IPv4 192.0.2.1 192.0.2.2")
	}
	clock.Step(Every)
	publish(t, o, b, "IPv4 192.0.2.2")
	if n := o.leases(); n != 2 {
		t.Errorf("%d leases", n)
	}
	for clock.Since(start) <= forgetAfter {
		clock.Step(Every)
		publish(t, o, b, "IPv4 192.0.2.2")
	}
	clock.Step(Every)
	publish(t, o, b, "IPv4 192.0.2.2")
	if n := o.leases(); n != 1 {
		t.Errorf("%d leases, want that of the server that is there", n)
	}
	publish(t, o, a, "IPv4 192.0.2.1 192.0.2.2")
}

// TestDeadServerStaysDead: the start of another server does not bring one back
// that died long before, and whose Lease goes however often others start.
func TestDeadServerStaysDead(t *testing.T) {
	o, clock := newObjects(), testclock.NewFakeClock(start)
	publish(t, o, server(o, "a", "192.0.2.1:6443", clock), "IPv4 192.0.2.1")
	clock.Step(lasts + skew + time.Second)
	publish(t, o, server(o, "b", "192.0.2.2:6443", clock), "IPv4 192.0.2.2")
	clock.Step(abandonedAfter)
	publish(t, o, server(o, "b", "192.0.2.2:6443", clock), "IPv4 192.0.2.2")
	if n := o.leases(); n != 1 {
		t.Errorf("%d leases, want that of the server that is there", n)
	}
}

// TestClocksThatDiffer: a server whose clock is behind or ahead is there all the
// same.
func TestClocksThatDiffer(t *testing.T) {
	for _, apart := range []time.Duration{-skew, skew, time.Hour} {
		o := newObjects()
		publish(t, o, server(o, "a", "192.0.2.1:6443", testclock.NewFakeClock(start.Add(apart))), "IPv4 192.0.2.1")
		publish(t, o, server(o, "b", "192.0.2.2:6443", testclock.NewFakeClock(start)), "IPv4 192.0.2.1 192.0.2.2")
	}
	// Beyond all measure, from its next renewal on.
	o, late, clock := newObjects(), testclock.NewFakeClock(start.Add(-12*time.Hour)), testclock.NewFakeClock(start)
	a, b := server(o, "a", "192.0.2.1:6443", late), server(o, "b", "192.0.2.2:6443", clock)
	publish(t, o, a, "IPv4 192.0.2.1")
	_ = b.Publish(t.Context(), metav1.GetOptions{})
	late.Step(Every)
	clock.Step(Every)
	if err := a.Publish(t.Context(), metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	publish(t, o, b, "IPv4 192.0.2.1 192.0.2.2")
}

// TestFamilies: each family of addresses has a slice, which goes with its last
// server; a mapped address is what it maps.
func TestFamilies(t *testing.T) {
	o, clock := newObjects(), testclock.NewFakeClock(start)
	six := server(o, "six", "[2001:db8::1]:6443", clock)
	publish(t, o, six, "")
	if got, want := o.addresses("kubernetes-ipv6"), "IPv6 2001:db8::1"; got != want {
		t.Errorf("endpoints %q, want %q", got, want)
	}
	mapped := server(o, "mapped", "[::ffff:192.0.2.1]:6443", clock)
	publish(t, o, mapped, "IPv4 192.0.2.1")
	six.Leave(t.Context())
	if got := o.addresses("kubernetes-ipv6"); got != "" {
		t.Errorf("endpoints %q are left", got)
	}
	mapped.Leave(t.Context())
	if got, want := o.addresses("kubernetes"), "IPv4 192.0.2.1"; got != want {
		t.Errorf("the last server has left: %q, want %q", got, want)
	}
}

// TestSliceOfAnotherFamily: what an older version wrote gives way.
func TestSliceOfAnotherFamily(t *testing.T) {
	o := newObjects()
	o.put(registry.Target{Resource: Slices}, &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, AddressType: discoveryv1.AddressTypeIPv6})
	e := server(o, "a", "192.0.2.1:6443", testclock.NewFakeClock(start))
	publish(t, o, e, "")
	publish(t, o, e, "IPv4 192.0.2.1")
}

// TestReadsAsTold: who asks for reads from the cache gets no others.
func TestReadsAsTold(t *testing.T) {
	o := newObjects()
	e := server(o, "a", "192.0.2.1:6443", testclock.NewFakeClock(start))
	for _, rv := range []string{"", "0"} {
		if err := e.Publish(t.Context(), metav1.GetOptions{ResourceVersion: rv}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(o.lists, []string{"", "0"}) {
		t.Errorf("lists at %q", o.lists)
	}
}

// TestOnlyThisMachine: an address that no pod reaches is not published.
func TestOnlyThisMachine(t *testing.T) {
	for _, address := range []string{"127.0.0.1:6443", "[::1]:6443", "[::ffff:127.0.0.1]:6443", "169.254.1.1:6443", "[fe80::1]:6443"} {
		o := newObjects()
		e := server(o, "a", address, testclock.NewFakeClock(start))
		publish(t, o, e, "")
		e.Leave(t.Context())
		if len(o.held) > 0 {
			t.Errorf("%s: %v was written", address, o.held)
		}
	}
}

// TestEnsure: a server that the slices name begins without a write; one that they
// do not name, or at another port, is published.
func TestEnsure(t *testing.T) {
	o, clock := newObjects(), testclock.NewFakeClock(start)
	for _, c := range []struct {
		address   string
		published bool
	}{
		{"192.0.2.1:6443", true}, {"192.0.2.1:6443", false}, {"192.0.2.2:6443", true}, {"[2001:db8::1]:6443", true}, {"[2001:db8::1]:6443", false},
		{"192.0.2.1:7443", true}, {"127.0.0.1:6443", true},
	} {
		before := o.revision
		published, err := server(o, c.address, c.address, clock).Ensure(t.Context(), metav1.GetOptions{})
		if err != nil || published != c.published {
			t.Errorf("%s was published: %v (%v), want %v", c.address, published, err, c.published)
		}
		if !published && o.revision != before {
			t.Errorf("%s: %d writes", c.address, o.revision-before)
		}
	}
	if got := o.addresses("kubernetes"); got != "IPv4 192.0.2.1 192.0.2.2" {
		t.Errorf("endpoints %q", got)
	}
}
