package reconcile

import (
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/plugins/kinds"
)

var (
	configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")
	podsR      = corev1.SchemeGroupVersion.WithResource("pods")
)

// table is made once: it is only read.
var table = sync.OnceValues(func() (*resource.Table, error) { return kinds.Table(kinds.Options{}) })

// kit is a registry on a store in memory.
type kit struct{ *registrytest.Registry }

func newKit(t testing.TB) *kit {
	t.Helper()
	table, err := table()
	if err != nil {
		t.Fatal(err)
	}
	return &kit{registrytest.Start(t, registrytest.Options{Table: table})}
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
