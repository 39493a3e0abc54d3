// Package registrytest starts a registry for tests of what lies above it: verbs,
// watch cache and a store in memory, without an edge, loops or policies. A test
// that needs those starts kernel/kerneltest.
package registrytest

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Options say what Start makes.
type Options struct {
	Table     *resource.Table  // required
	Store     store.Store      // nil is a new one in memory
	Admission *admission.Chain // nil asks nobody
}

// Registry is a registry that runs.
type Registry struct {
	registry.Registry // the administrator's
	*registry.Core
	Table   *resource.Table
	Catalog *resource.Catalog
	Codec   *resource.Codec
	Cache   *watch.Cache
}

// Start runs a registry that lasts as long as the test, and returns once it
// answers. It has namespace default.
func Start(t testing.TB, o Options) *Registry {
	t.Helper()
	if o.Store == nil {
		o.Store = memory.New()
	}
	r := &Registry{Table: o.Table, Catalog: resource.NewCatalog(o.Table)}
	r.Codec = resource.NewCodec(r.Catalog)
	r.Cache = watch.New(watch.Config{Store: o.Store, Catalog: r.Catalog, Decode: r.Codec.Decode})
	c := registry.Config{Catalog: r.Catalog, Codec: r.Codec, Store: o.Store, Cache: r.Cache, Admission: o.Admission}
	var err error
	if r.Core, err = registry.New(c); err != nil {
		t.Fatal(err)
	}
	r.Registry = r.As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	Run(t, "watch cache", r.Cache.Run)
	select {
	case <-r.Cache.Ready():
	case <-time.After(patience):
		t.Fatal("the watch cache is not ready")
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceDefault}}
	if _, err := r.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("namespaces")}, ns, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return r
}

// Background runs f until the test ends, and waits for it.
func Background(t testing.TB, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// Run is Background for what may fail: the test fails with it, unless that is
// the end of its context.
func Run(t testing.TB, what string, f func(context.Context) error) {
	Background(t, func(ctx context.Context) {
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	})
}

// patience bounds every wait for what must come; nothing is expected to take it.
const patience = time.Minute

// Eventually waits until check holds, looking again and again, and fails the
// test when that does not come about.
func Eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !check(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
