package transaction_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

var (
	configMaps = schema.GroupResource{Resource: "configmaps"}
	secrets    = schema.GroupResource{Resource: "secrets"}
)

// blind is a cache that has seen nothing: what is known are own commits, and what
// the store says.
type blind struct{ waited *atomic.Int64 } // for this revision, last

func (blind) Revision() int64                                        { return 0 }
func (blind) Rewinds() int64                                         { return 0 }
func (blind) Get(schema.GroupResource, string, string) *watch.Object { return nil }
func (blind) Prime(string, int64, runtime.Object) *watch.Object      { return nil }
func (b blind) WaitFor(_ context.Context, rev int64) error           { b.waited.Store(rev); return nil }

// spied is a store that shows what is committed, and gives others their chance.
type spied struct {
	store.Store
	mu      sync.Mutex
	commits [][]store.Op
	before  func(ops []store.Op) error
}

func (s *spied) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	s.mu.Lock()
	s.commits = append(s.commits, append([]store.Op(nil), ops...))
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(ops); err != nil {
			return 0, err
		}
	}
	return s.Store.Commit(ctx, ops)
}

func (s *spied) intercept(f func(ops []store.Op) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// count forgets the commits that it counts.
func (s *spied) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.commits)
	s.commits = nil
	return n
}

// reader reads the store, for hooks.
type reader struct{ x *fixture }

func (r reader) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error) {
	o, err := r.x.objects.Refresh(ctx, recent.IDOf(r.x.catalog.Lookup(gr), namespace, name))
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, apierrors.NewNotFound(gr, name)
	}
	return o.Obj, nil
}

func (reader) List(context.Context, schema.GroupResource, string) ([]runtime.Object, error) {
	return nil, nil
}

type definitions struct{ *resource.Catalog }

func (d definitions) Definition(gr schema.GroupResource) *resource.Definition { return d.Lookup(gr) }

type fixture struct {
	*transaction.Committer
	catalog *resource.Catalog
	objects *recent.Objects
	codec   *resource.Codec
	store   *spied
	waited  *atomic.Int64 // for this revision of the cache, last
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	define := func(plural, kind string) *resource.Definition {
		return &resource.Definition{Resource: plural, Singular: plural[:len(plural)-1], Kind: kind, ListKind: kind + "List", Namespaced: true,
			Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/" + plural}
	}
	table := &resource.Table{Scheme: s, Definitions: []*resource.Definition{define("configmaps", "ConfigMap"), define("secrets", "Secret")}}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	x := &fixture{catalog: resource.NewCatalog(table), store: &spied{Store: memory.New()}, waited: new(atomic.Int64)}
	x.codec = resource.NewCodec(x.catalog)
	x.objects = recent.NewObjects(blind{x.waited}, x.store, x.codec, clock.RealClock{})
	x.Committer = transaction.New(transaction.Config{Store: x.store, Objects: x.objects, Codec: x.codec,
		Definitions: definitions{x.catalog}, Reader: reader{x}, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler)})
	return x
}

func (x *fixture) id(name string) recent.ID {
	return recent.IDOf(x.catalog.Lookup(configMaps), "default", name)
}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{"a": value}}
}

// create makes an object, with a kind's companions.
func (x *fixture) create(name string, hook transaction.Hook) *transaction.Write {
	w := &transaction.Write{Verb: "create", ID: x.id(name), Blind: true}
	w.Plan = func(ctx context.Context, _ *watch.Object) (*transaction.Change, error) {
		ch := &transaction.Change{ID: x.id(name), Obj: configMap(name, "")}
		if err := x.Join(ctx, w, ch, hook, ch.Obj, nil); err != nil {
			return nil, err
		}
		return ch, x.Encode(ch)
	}
	return w
}

// sized makes an object that is stored in so many bytes, and counts its plans.
func (x *fixture) sized(t testing.TB, name string, bytes int, dryRun bool, planned *atomic.Int64) *transaction.Write {
	t.Helper()
	w := &transaction.Write{Verb: "create", ID: x.id(name), Blind: true, DryRun: dryRun}
	stored := func(n int) int {
		_, v, err := x.codec.EncodeCanonical(w.ID.Definition, configMap(name, strings.Repeat("x", n)), false)
		if err != nil {
			t.Fatal(err)
		}
		return len(v)
	}
	text := bytes - (stored(bytes) - bytes) // lengths take as many bytes in both
	if got := stored(text); got != bytes {
		t.Fatalf("%s is stored in %d bytes, want %d", name, got, bytes)
	}
	w.Plan = func(context.Context, *watch.Object) (*transaction.Change, error) {
		planned.Add(1)
		ch := &transaction.Change{ID: x.id(name), Obj: configMap(name, strings.Repeat("x", text))}
		return ch, x.Encode(ch)
	}
	return w
}

// draw makes an object under the first of the names that is not taken: each plan
// draws the next.
func (x *fixture) draw(names ...string) *transaction.Write {
	w := &transaction.Write{Verb: "create", ID: recent.ID{Definition: x.catalog.Lookup(configMaps), Namespace: "default"}, Blind: true}
	w.Plan = func(context.Context, *watch.Object) (*transaction.Change, error) {
		name := names[0]
		names = append(names[1:], name)
		ch := &transaction.Change{ID: x.id(name), Obj: configMap(name, ""), Generated: true}
		return ch, x.Encode(ch)
	}
	return w
}

// appendTo adds a letter to what an object has; "" changes nothing.
func (x *fixture) appendTo(name, letter string) *transaction.Write {
	w := &transaction.Write{Verb: "update", ID: x.id(name)}
	w.Plan = func(_ context.Context, cur *watch.Object) (*transaction.Change, error) {
		if cur == nil {
			return nil, apierrors.NewNotFound(configMaps, name)
		}
		m := cur.Obj.DeepCopyObject().(*corev1.ConfigMap)
		m.Data = map[string]string{"a": m.Data["a"] + letter}
		ch := &transaction.Change{ID: w.ID, Old: cur, Obj: m}
		if err := x.Encode(ch); err != nil {
			return nil, err
		}
		ch.Noop = x.Unchanged(ch)
		return ch, nil
	}
	return w
}

func (x *fixture) remove(name string) *transaction.Write {
	w := &transaction.Write{Verb: "delete", ID: x.id(name)}
	w.Plan = func(_ context.Context, cur *watch.Object) (*transaction.Change, error) {
		if cur == nil {
			return nil, apierrors.NewNotFound(configMaps, name)
		}
		return &transaction.Change{ID: w.ID, Old: cur}, nil
	}
	return w
}

func (x *fixture) must(t testing.TB, w *transaction.Write) *transaction.Result {
	t.Helper()
	res, err := x.Do(t.Context(), w)
	if err != nil {
		t.Fatalf("%s %s: %v", w.Verb, w.ID.Name, err)
	}
	return res
}

// stored is what the store has of an object; nil if nothing.
func (x *fixture) stored(t testing.TB, gr schema.GroupResource, name string) runtime.Object {
	t.Helper()
	o, err := x.objects.Refresh(t.Context(), recent.IDOf(x.catalog.Lookup(gr), "default", name))
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		return nil
	}
	return o.Obj
}

func (x *fixture) value(t testing.TB, name string) string {
	t.Helper()
	o := x.stored(t, configMaps, name)
	if o == nil {
		t.Fatalf("%s is not stored", name)
	}
	return o.(*corev1.ConfigMap).Data["a"]
}

// other writes past the Committer, as another server does.
func (x *fixture) other(t testing.TB, id recent.ID, obj runtime.Object) {
	var value []byte
	if obj != nil {
		var err error
		if value, err = x.codec.EncodeStorage(id.Definition, obj); err != nil {
			t.Error(err)
		}
	}
	if _, err := x.store.Store.Commit(context.Background(), []store.Op{{Key: id.Key, Value: value, Expect: store.Any}}); err != nil {
		t.Error(err)
	}
}
