package reconcile

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/plugins/kinds"
)

var (
	configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")
	podsR      = corev1.SchemeGroupVersion.WithResource("pods")
)

var shared struct {
	sync.Once
	table *resource.Table
	err   error
}

// kit is a registry on a store in memory.
type kit struct {
	registry.Registry // the administrator's
	*registry.Core
	table *resource.Table
	codec *resource.Codec
}

func newKit(t testing.TB) *kit {
	t.Helper()
	shared.Do(func() { shared.table, shared.err = kinds.Table(kinds.Options{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	k := &kit{table: shared.table, codec: resource.NewCodec(resource.NewCatalog(shared.table))}
	s := memory.New()
	cache := watch.New(watch.Config{Store: s, Catalog: resource.NewCatalog(k.table), Decode: k.codec.Decode})
	var err error
	if k.Core, err = registry.New(registry.Config{Catalog: resource.NewCatalog(k.table), Codec: k.codec, Store: s, Cache: cache}); err != nil {
		t.Fatal(err)
	}
	k.Registry = k.As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	background(t, func(ctx context.Context) {
		if err := cache.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cache: %v", err)
		}
	})
	<-cache.Ready()
	if _, err := k.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("namespaces")},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return k
}

// background runs f until the test ends, and waits for it.
func background(t testing.TB, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func in(gvr schema.GroupVersionResource, name string) registry.Target {
	return registry.Target{Resource: gvr, Namespace: "default", Name: name}
}

func (k *kit) config(t testing.TB, name string, owners ...metav1.OwnerReference) *watch.Object {
	t.Helper()
	res, err := k.Create(t.Context(), in(configMaps, ""), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owners}}, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return res.Object
}

func (k *kit) set(t testing.TB, name, value string) *watch.Object {
	t.Helper()
	res, err := k.Update(t.Context(), in(configMaps, name), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"v": value}}, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return res.Object
}

func (k *kit) remove(t testing.TB, name string) {
	t.Helper()
	if _, err := k.Delete(t.Context(), in(configMaps, name), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("%s: not within ten seconds", what)
}
