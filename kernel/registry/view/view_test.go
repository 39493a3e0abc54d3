package view_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/selection"
	"github.com/pintle-io/pintle/kernel/registry/view"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// fixture is Views on a store in memory, with ConfigMaps.
type fixture struct {
	*view.Views
	store store.Store
	cache *lagging
	codec *resource.Codec
	kind  *kinds.Kind
}

// lagging is a cache that can be made unable to resume.
type lagging struct {
	*watch.Cache
	notResumable bool
}

func (c *lagging) Resumable(gr schema.GroupResource) bool {
	return !c.notResumable && c.Cache.Resumable(gr)
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	table := &resource.Table{Scheme: s, Definitions: []*resource.Definition{{Resource: "configmaps", Singular: "configmap", Kind: "ConfigMap",
		ListKind: "ConfigMapList", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/configmaps"}}}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	catalog := resource.NewCatalog(table)
	codec := resource.NewCodec(catalog)
	from := memory.New()
	cache := watch.New(watch.Config{Store: from, Catalog: catalog, Decode: codec.Decode})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	all, err := kinds.New(catalog, codec, fieldmanager.Shared{Scheme: s, Convert: codec})
	if err != nil {
		t.Fatal(err)
	}
	x := &fixture{store: from, cache: &lagging{Cache: cache}, codec: codec, kind: all.Get(schema.GroupResource{Resource: "configmaps"})}
	x.Views = view.New(x.cache, from, recent.NewObjects(cache, from, codec, clock.RealClock{}), clock.RealClock{})
	if err := cache.Load(t.Context(), x.kind.Cached); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *fixture) put(t testing.TB, name, value string) int64 {
	t.Helper()
	v, err := x.codec.EncodeStorage(x.kind.Definition, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{"a": value}})
	if err != nil {
		t.Fatal(err)
	}
	rev, err := x.store.Commit(t.Context(), []store.Op{{Key: x.kind.Key("default", name), Value: v, Expect: store.Any}})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func (x *fixture) list(ctx context.Context, o metav1.ListOptions) (*view.List, error) {
	sel, err := selection.Parse(x.kind.Selected(), x.kind.KindIn(""), "default", "", o)
	if err != nil {
		return nil, err
	}
	return x.List(ctx, x.kind, "default", sel, o)
}

func show(l *view.List) string {
	out := ""
	for _, o := range l.Items {
		out += fmt.Sprintf("%s=%s ", o.Name, o.Obj.(*corev1.ConfigMap).Data["a"])
	}
	return out
}

// A list is as new as what was written before; a revision that is named is answered
// from the past.
func TestPresentAndPast(t *testing.T) {
	x := newFixture(t)
	first := x.put(t, "a", "1")
	x.put(t, "a", "2")
	second := x.put(t, "b", "1")
	for _, tc := range []struct {
		o    metav1.ListOptions
		want string
		rev  int64
	}{
		{metav1.ListOptions{}, "a=2 b=1 ", second},
		{metav1.ListOptions{ResourceVersion: fmt.Sprint(first)}, "a=2 b=1 ", second},
		{metav1.ListOptions{ResourceVersion: fmt.Sprint(first), ResourceVersionMatch: metav1.ResourceVersionMatchExact}, "a=1 ", first},
	} {
		l, err := x.list(t.Context(), tc.o)
		if err != nil || show(l) != tc.want || l.Revision != tc.rev {
			t.Errorf("%+v: %+v, %v; want %q at %d", tc.o, l, err, tc.want, tc.rev)
		}
	}
	if err := x.store.Compact(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if _, err := x.list(t.Context(), metav1.ListOptions{ResourceVersion: fmt.Sprint(first), ResourceVersionMatch: metav1.ResourceVersionMatchExact}); !apierrors.IsResourceExpired(err) {
		t.Errorf("compacted: %v", err)
	}
}

// Pages are of one revision, whatever is written between them; when it is no longer
// kept, the answer has a token to go on with.
func TestPages(t *testing.T) {
	x := newFixture(t)
	for _, n := range []string{"a", "b", "c"} {
		x.put(t, n, "1")
	}
	l, err := x.list(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil || show(l) != "a=1 " || l.Remaining == nil || *l.Remaining != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	now := x.put(t, "b", "2")
	if err := x.cache.WaitFor(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	next, err := x.list(t.Context(), metav1.ListOptions{Limit: 2, Continue: l.Continue})
	if err != nil || show(next) != "b=1 c=1 " || next.Revision != l.Revision || next.Continue != "" {
		t.Errorf("%+v, %v", next, err)
	}
	// A server that has not seen the first page reads the store's history.
	other := view.New(x.cache, x.store, recent.NewObjects(x.cache, x.store, x.codec, clock.RealClock{}), clock.RealClock{})
	x.Views = other
	if next, err = x.list(t.Context(), metav1.ListOptions{Continue: l.Continue}); err != nil || show(next) != "b=1 c=1 " {
		t.Errorf("from history: %+v, %v", next, err)
	}
	if err := x.store.Compact(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	_, err = x.list(t.Context(), metav1.ListOptions{Continue: l.Continue})
	var expired *apierrors.StatusError
	if !errors.As(err, &expired) || !apierrors.IsResourceExpired(err) {
		t.Fatalf("compacted: %v", err)
	}
	token := expired.ErrStatus.Continue
	if next, err = x.list(t.Context(), metav1.ListOptions{Continue: token}); err != nil || show(next) != "b=2 c=1 " {
		t.Errorf("the rest as it is now: %+v, %v", next, err)
	}
}

// A list that no watch could go on from moves the store on first.
func TestBeginning(t *testing.T) {
	x := newFixture(t)
	rev := x.put(t, "a", "1")
	x.cache.notResumable = true
	l, err := x.list(t.Context(), metav1.ListOptions{})
	if err != nil || l.Revision != rev+1 || show(l) != "a=1 " {
		t.Errorf("%+v, %v; want revision %d", l, err, rev+1)
	}
}

// slow is a cache that never sees anything.
type slow struct{ view.Cache }

func (slow) Revision() int64 { return 5 }
func (slow) WaitFor(ctx context.Context, _ int64) error {
	<-ctx.Done()
	return ctx.Err()
}

// A revision that this server does not come to see is waited for, for a while; a
// request that ends sooner is answered so.
func TestTooNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := view.New(slow{}, nil, nil, clock.RealClock{})
		k := &kinds.Kind{GR: schema.GroupResource{Resource: "configmaps"}}
		if err := v.Await(t.Context(), k, "get", "9", 9); !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := v.Await(ctx, k, "get", "9", 9); !apierrors.IsServerTimeout(err) {
			t.Errorf("a request of a second: %v", err)
		}
	})
}

func TestBadOptions(t *testing.T) {
	x := newFixture(t)
	l, err := x.list(t.Context(), metav1.ListOptions{})
	if err != nil || l.Items == nil {
		t.Fatalf("an empty list: %+v, %v", l, err)
	}
	for _, o := range []metav1.ListOptions{{ResourceVersion: "x"}, {Continue: "x"}} {
		if _, err := x.list(t.Context(), o); !apierrors.IsBadRequest(err) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
