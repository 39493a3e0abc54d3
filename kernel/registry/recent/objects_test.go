package recent

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// fakes are a cache with one object, and a store with another state of it.
type fakes struct {
	caughtUp
	cached *watch.Object
	stored store.KV
	waited int64
}

func (f *fakes) Get(schema.GroupResource, string, string) *watch.Object { return f.cached }
func (f *fakes) Prime(string, int64, runtime.Object) *watch.Object      { return nil }
func (f *fakes) WaitFor(_ context.Context, rev int64) error             { f.waited = rev; return nil }

type fakeStore struct{ *fakes }

func (s fakeStore) Get(context.Context, string) (store.KV, bool, int64, error) {
	return s.stored, s.stored.ModRevision > 0, 9, nil
}
func (s fakeStore) Revision(context.Context) (int64, error) { return 9, nil }

func (s fakeStore) Decode(_ *resource.Definition, value []byte, _ int64) (runtime.Object, error) {
	if string(value) == "bad" {
		return nil, errors.New("bad")
	}
	return &corev1.ConfigMap{Data: map[string]string{"a": string(value)}}, nil
}

func (s fakeStore) Outdated(_ *resource.Definition, value []byte) bool { return string(value) == "old" }

// TestStale: what is to be rewritten, though nothing changes.
func TestStale(t *testing.T) {
	id := IDOf(&resource.Definition{Resource: "configmaps", Namespaced: true, KeyPrefix: "/registry/configmaps"}, "default", "m")
	for name, tt := range map[string]struct {
		kv   store.KV
		want bool
	}{
		"as today":            {store.KV{ModRevision: 5, Value: []byte("v")}, false},
		"of another key":      {store.KV{ModRevision: 5, Value: []byte("v"), Stale: true}, true},
		"of an older version": {store.KV{ModRevision: 5, Value: []byte("old")}, true},
	} {
		f := &fakes{stored: tt.kv}
		if _, stale, err := NewObjects(f, fakeStore{f}, fakeStore{f}, clock.RealClock{}).Reread(t.Context(), id); stale != tt.want || err != nil {
			t.Errorf("%s: stale %t, %v", name, stale, err)
		}
	}
}

// What this process committed is newer than what the cache has; what the cache has
// seen is answered from there, and the store has the last word.
func TestObjects(t *testing.T) {
	d := &resource.Definition{Resource: "configmaps", Namespaced: true, KeyPrefix: "/registry/configmaps"}
	id := IDOf(d, "default", "m")
	f := &fakes{cached: &watch.Object{Revision: 3, Obj: &corev1.ConfigMap{}}, stored: store.KV{ModRevision: 5, Value: []byte("v")}}
	f.revision = 3
	x := NewObjects(f, fakeStore{f}, fakeStore{f}, clock.RealClock{})
	if id.Key != "/registry/configmaps/default/m" || x.Lookup(id).Revision != 3 {
		t.Errorf("%+v: %+v", id, x.Lookup(id))
	}
	o := x.Record(id, &corev1.ConfigMap{}, 1, 4)
	if x.Lookup(id) != o || o.Revision != 4 || o.Obj.(*corev1.ConfigMap).ResourceVersion != "4" {
		t.Errorf("committed: %+v", o)
	}
	if cur, err := x.Refresh(t.Context(), id); err != nil || cur.Revision != 5 || x.Lookup(id) != o {
		t.Errorf("of the store: %+v, %v", cur, err)
	}
	if cur, err := x.Observe(id, f.stored); err != nil || x.Lookup(id) != cur || cur.Revision != 5 {
		t.Errorf("learned: %+v, %v", cur, err)
	}
	if x.Record(id, nil, 0, 6) != nil || x.Lookup(id) != nil {
		t.Errorf("deleted: %+v", x.Lookup(id))
	}
	other := &resource.Definition{Resource: "secrets", Namespaced: true, KeyPrefix: "/registry/secrets"}
	if x.Seen(d) || !x.Seen(other) {
		t.Errorf("seen by the cache: %v, of what nobody wrote %v; want false, true", x.Seen(d), x.Seen(other))
	}
	f.revision = 6
	if !x.Seen(d) {
		t.Error("the cache has seen all")
	}
	if x.Lookup(id) != f.cached {
		t.Error("the cache has seen it, and is not asked")
	}
	if _, err := x.Observe(id, store.KV{ModRevision: 7, Value: []byte("bad")}); err == nil || x.Lookup(id) != f.cached {
		t.Errorf("undecodable: %v", err)
	}
	f.stored = store.KV{}
	if cur, err := x.Refresh(t.Context(), id); cur != nil || err != nil {
		t.Errorf("not there: %+v, %v", cur, err)
	}
	if err := x.CatchUp(t.Context()); err != nil || f.waited != 9 {
		t.Errorf("waited for %d, %v", f.waited, err)
	}
}
