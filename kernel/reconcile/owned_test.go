package reconcile

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

func ref(uid string, controller bool) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: uid, UID: types.UID(uid), Controller: &controller}
}

func names(list []*watch.Object) (out []string) {
	for _, o := range list {
		out = append(out, o.Name)
	}
	return out
}

func TestOwned(t *testing.T) {
	k := newKit(t)
	x := NewOwned(k.Catalog, informer.Config{Registry: k})
	registrytest.Background(t, func(ctx context.Context) { _ = x.Run(ctx) })
	const nobody = "of nobody"
	list := func(ns, uid string, since int64) []string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		owner := wire.Owner{Kind: wire.OwnerUID, UID: uid}
		if uid == nobody {
			owner = wire.Owner{Kind: wire.NoController}
		}
		got, err := x.List(ctx, configMaps.GroupResource(), ns, owner, since)
		if err != nil {
			t.Fatal(err)
		}
		return names(got)
	}
	want := func(what string, got, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	k.config(t, "b", ref("u", true))
	k.config(t, "a", ref("u", false), ref("v", true))
	last := k.config(t, "free")
	want("of u", list("default", "u", last.Revision), []string{"a", "b"})
	want("of v, in all namespaces", list("", "v", 0), []string{"a"})
	want("of u, elsewhere", list("other", "u", 0), nil)
	want("of nobody", list("default", nobody, 0), []string{"free"})
	want("of no uid", list("default", "", 0), nil)
	// No text of a user's is taken for having no owner, and one owner may be
	// named twice.
	last = k.config(t, "odd", ref("-", true), ref("-", false))
	want("of nobody, beside an odd uid", list("default", nobody, last.Revision), []string{"free"})
	want("of an odd uid", list("default", "-", last.Revision), []string{"odd"})
	last = k.set(t, "odd", "")
	want("of nobody, with the odd one", list("default", nobody, last.Revision), []string{"free", "odd"})
	k.remove(t, "odd")
	registrytest.Eventually(t, "deleted", func() bool { return len(list("default", nobody, 0)) == 1 })
	// Each write is seen by who knows of it, without waiting for luck.
	for range 200 {
		o := k.set(t, "b", "") // takes the owner away
		want("of u after an update", list("default", "u", o.Revision), []string{"a"})
		want("of nobody after an update", list("default", nobody, o.Revision), []string{"b", "free"})
		k.remove(t, "b")
		o = k.config(t, "b", ref("u", true))
		want("of u after another came", list("default", "u", o.Revision), []string{"a", "b"})
	}
	k.remove(t, "a")
	registrytest.Eventually(t, "deleted", func() bool { return len(list("", "v", 0)) == 0 })

	// A revision that no event of the resource reaches does not hang.
	res, err := k.Create(t.Context(), in(podsR, ""), pod("p"), registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want("beyond the last event", list("default", "u", res.Object.Revision), []string{"b"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := x.List(ctx, configMaps.GroupResource(), "", wire.Owner{Kind: wire.OwnerUID, UID: "u"}, res.Object.Revision+1000); err == nil {
		t.Error("a revision that is still to come is answered")
	}
}

// TestOwnedKindsComeAndGo: what follows a kind ends with it, and begins again when it
// is back, in another version too.
func TestOwnedKindsComeAndGo(t *testing.T) {
	k := newKit(t)
	running := informer.NewMetrics()
	x := NewOwned(k.Catalog, informer.Config{Registry: k, Metrics: running})
	registrytest.Background(t, func(ctx context.Context) { _ = x.Run(ctx) })
	p := k.Catalog.Producer("shop")
	gr := registrytest.Gizmos.GroupResource()
	list := func() []string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		got, err := x.List(ctx, gr, "", wire.Owner{Kind: wire.OwnerUID, UID: "u"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return names(got)
	}
	var goroutines int
	for round := range 200 {
		version := []string{"v1", "v2"}[round%2]
		if err := p.Apply(registrytest.DefineGizmos(func(d *resource.Definition) { d.Versions, d.StorageVersion = []string{version}, version })); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint("g", round)
		g := registrytest.Gizmo("default", name, ref("u", true))
		g.SetAPIVersion("shop.example/" + version)
		target := registry.Target{Resource: gr.WithVersion(version), Namespace: "default"}
		if _, err := k.Create(t.Context(), target, g, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{name}, list()); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
		target.Name = name
		if _, err := k.Delete(t.Context(), target, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := p.Apply(nil, gr); err != nil {
			t.Fatal(err)
		}
		if got := list(); len(got) != 0 {
			t.Fatalf("a kind that is not there has %v", got)
		}
		if round == 20 {
			goroutines = runtime.NumGoroutine()
		}
	}
	registrytest.Eventually(t, "nothing is followed any more", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.resources) == 0 && testutil.CollectAndCount(running) == 0
	})
	registrytest.Eventually(t, "no goroutine is left of each round", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
}

// TestByPath: objects are found by a value at a path, as they are after each write; an
// index is made for each path, as many as there may be.
func TestByPath(t *testing.T) {
	k := newKit(t)
	x := NewOwned(k.Catalog, informer.Config{Registry: k})
	registrytest.Background(t, func(ctx context.Context) { _ = x.Run(ctx) })
	list := func(path, value string, since int64) ([]string, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		got, err := x.List(ctx, configMaps.GroupResource(), "default", wire.AtPath(path, value), since)
		return names(got), err
	}
	k.config(t, "b", ref("u", true), ref("v", false))
	last := k.config(t, "a", ref("u", false))
	for _, tc := range []struct {
		path, value string
		want        []string
	}{
		{"metadata.ownerReferences.name", "u", []string{"a", "b"}},
		{"metadata.ownerReferences.name", "v", []string{"b"}},
		{"metadata.ownerReferences[1].name", "u", nil},
		{"metadata.ownerReferences[1].name", "v", []string{"b"}},
		{"metadata.name", "a", []string{"a"}},
		{"metadata.name", "a=b", nil},
		{"metadata.name", "", nil},
		{"unheard.of", "a", nil},
	} {
		got, err := list(tc.path, tc.value, last.Revision)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("by %s %q (-want +got):\n%s", tc.path, tc.value, diff)
		}
	}
	gone := k.set(t, "b", "")
	if got, err := list("metadata.ownerReferences.name", "v", gone.Revision); err != nil || len(got) > 0 {
		t.Errorf("after the value has gone: %v, %v", got, err)
	}
	if _, err := list("a..b", "x", 0); !errors.Is(err, &wire.Error{Kind: wire.KindBadRequest}) {
		t.Errorf("a malformed path: %v", err)
	}
	for i := range maxPaths - 4 {
		if _, err := list(fmt.Sprintf("data.k%d", i), "x", 0); err != nil {
			t.Fatalf("index %d: %v", i, err)
		}
	}
	if _, err := list("data.more", "x", 0); !errors.Is(err, &wire.Error{Kind: wire.KindTooMany}) {
		t.Errorf("one index too many: %v", err)
	}
	if got, err := list("metadata.name", "a", 0); err != nil || len(got) != 1 {
		t.Errorf("an index that is there: %v, %v", got, err)
	}
}
