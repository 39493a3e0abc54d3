package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/wire"
)

func (k *kit) gizmo(t *testing.T, name string) {
	t.Helper()
	if _, err := k.Create(t.Context(), in(registrytest.Gizmos, ""), registrytest.Gizmo(metav1.NamespaceDefault, name), registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestFollowsKinds: controllers that were loaded before a kind was defined, one
// by its name and one of all resources, are told of its objects when it comes,
// and go by what it says when it changes. What was told is not told again by a
// change, and an object is not gone because its definition is: it comes back with
// that.
func TestFollowsKinds(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	named, all := newRecorder(), newRecorder()
	named.maps = []wire.Watch{{Resource: "shop.example/v1/gizmos", Map: uint8(controller.MapSelf)}}
	all.maps = []wire.Watch{{Resource: wire.AllResources, Map: uint8(controller.MapSelf), Present: []string{"collected"}}}
	for name, r := range map[string]*recorder{"named": named, "all": all} {
		if err := m.Set(name, r.controller(1)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, m)
	k.config(t, "other")
	told := func(what, name string, byName, byAll int) {
		t.Helper()
		registrytest.Eventually(t, what, func() bool { return named.times(name) >= byName && all.times(name) >= byAll })
		if a, b := named.times(name), all.times(name); a != byName || b != byAll {
			t.Fatalf("%s: told of %s %d and %d times, want %d and %d", what, name, a, b, byName, byAll)
		}
	}
	told("a controller of all resources works", "other", 0, 1)

	shop := k.Catalog.Producer("shop")
	apply := func(change ...func(*resource.Definition)) {
		t.Helper()
		if err := shop.Apply(registrytest.DefineGizmos(change...)); err != nil {
			t.Fatal(err)
		}
	}
	for round := 1; round <= 2; round++ {
		apply()
		if round == 1 {
			k.gizmo(t, "a")
		}
		told("a kind that comes", "a", round, round)

		apply(func(d *resource.Definition) { d.Versions = []string{"v2", "v1"} })
		late := []string{"", "b", "c"}[round]
		k.gizmo(t, late)
		told("another version is preferred", late, 1, 1)
		told("what was known then", "a", round, round)

		// Garbage collection has no part in it any more.
		apply(func(d *resource.Definition) { d.Strategy.NotCollected = true })
		n := 0
		registrytest.Eventually(t, "a kind that is not collected", func() bool {
			n++
			later := fmt.Sprintf("later-%d-%d", round, n)
			k.gizmo(t, later)
			registrytest.Eventually(t, "a kind that is not collected is still one", func() bool { return named.times(later) == 1 })
			return all.times(later) == 0
		})
		told("what was known before", "a", round, round)

		if err := shop.Apply(nil, registrytest.Gizmos.GroupResource()); err != nil {
			t.Fatal(err)
		}
		k.set(t, "other", fmt.Sprint(round))
		told("a kind that goes disturbs nobody", "other", 0, 1+round)
		told("what it leaves behind", "a", round, round)
	}
}

// TestFollowsOwners: a map to owners goes by whether their kind has a namespace,
// also when that comes after what they own.
func TestFollowsOwners(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	yes := true
	k.config(t, "owned", metav1.OwnerReference{APIVersion: "shop.example/v1", Kind: "Gizmo", Name: "g", UID: "u", Controller: &yes})
	r := newRecorder()
	r.maps = []wire.Watch{{Resource: "v1/configmaps", Map: uint8(controller.MapOwner), Arg: "shop.example/v1/Gizmo"}}
	if err := m.Set("owners", r.controller(1)); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	registrytest.Eventually(t, "asked about the owner", func() bool { return r.times("g") == 1 && r.wide.Load() == 0 })
	if err := k.Catalog.Producer("shop").Apply(registrytest.DefineGizmos(func(d *resource.Definition) { d.Namespaced = false })); err != nil {
		t.Fatal(err)
	}
	registrytest.Eventually(t, "asked about the owner without a namespace", func() bool { return r.wide.Load() == 1 })
}

// TestAwaits: what a controller watches and nobody has defined is told when it has
// not come for a while, and that it has come then; nothing is told of what is there.
func TestAwaits(t *testing.T) {
	k := newKit(t)
	clk := clocktesting.NewFakeClock(time.Now())
	m, err := New(Config{Registry: k, Catalog: k.Catalog, Codec: k.Codec, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan []string, 10)
	for name, watches := range map[string][]string{"knows": {"v1/configmaps"}, "awaits": {"v1/configmaps", "shop.example/v1/gizmos", "v1/pots"}} {
		r := newRecorder()
		for _, w := range watches {
			r.maps = append(r.maps, wire.Watch{Resource: w, Map: uint8(controller.MapSelf)})
		}
		c := r.controller(1)
		c.Awaits = func(_ context.Context, resources []string) { told <- append([]string{name}, resources...) }
		if err := m.Set(name, c); err != nil {
			t.Fatal(err)
		}
	}
	run(t, m)
	want := func(want ...string) {
		t.Helper()
		registrytest.Eventually(t, fmt.Sprint("told ", want), func() bool {
			clk.Step(awaitGrace) // again and again: the controllers begin by themselves
			select {
			case got := <-told:
				if !slices.Equal(got, want) {
					t.Errorf("told %q, want %q", got, want)
				}
				return true
			default:
				return false
			}
		})
	}
	want("awaits", "shop.example/v1/gizmos", "v1/pots")
	if err := k.Catalog.Producer("shop").Apply(registrytest.DefineGizmos()); err != nil {
		t.Fatal(err)
	}
	want("awaits", "v1/pots")
	if len(told) > 0 {
		t.Errorf("told %q besides", <-told)
	}
}

// gated is a registry that lists no pods before it is told to.
type gated struct {
	registry.Registry
	open chan struct{}
}

func (g gated) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	if t.Resource.Resource == podsR.Resource {
		select {
		case <-g.open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return g.Registry.List(ctx, t, o)
}

// TestBeginsWhenAllIsListed: what goes between a first reconcile and the first list of
// what it read would wake nobody. What went before the list, a reconcile does not read
// any more.
func TestBeginsWhenAllIsListed(t *testing.T) {
	k := newKit(t)
	g := gated{k, make(chan struct{})}
	m, err := New(Config{Registry: g, Catalog: k.Catalog, Codec: k.Codec})
	if err != nil {
		t.Fatal(err)
	}
	k.config(t, "a")
	k.config(t, "went")
	k.remove(t, "went")
	last := k.config(t, "b").Revision
	r := newRecorder()
	r.maps = []wire.Watch{{Resource: "v1/configmaps"}, {Resource: "v1/pods"}}
	if err := m.Set("waits", r.controller(2)); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	x := func() *runner { m.mu.Lock(); defer m.mu.Unlock(); return m.running["waits"] }
	registrytest.Eventually(t, "config maps are listed", func() bool { return x() != nil && x().queue.Len() == 2 })
	if got := x().host.Observed.Of(configMaps.GroupResource()); got < last {
		t.Errorf("reads may be of revision %d, the list is of %d", got, last)
	}
	if n := r.calls.Load(); n != 0 {
		t.Errorf("%d reconciles before the pods are listed", n)
	}
	close(g.open)
	registrytest.Eventually(t, "reconciled", func() bool { return r.times("a") == 1 && r.times("b") == 1 })
}
