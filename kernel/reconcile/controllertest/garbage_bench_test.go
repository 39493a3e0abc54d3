package controllertest_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/registry"
)

// What benchmarks of the cluster's cleaners have to do: orphans among all objects, and
// the objects of a namespace.
const (
	benchObjects = 100_000
	benchOrphans = 10_000
	benchContent = 5_000
)

// fill creates n ConfigMaps of a namespace in batches.
func (c *cluster) fill(b *testing.B, ns, prefix string, n int, owner *metav1.OwnerReference) {
	b.Helper()
	for from := 0; from < n; from += 500 {
		var items []registry.BatchItem
		for i := from; i < min(from+500, n); i++ {
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprint(prefix, i)}, Data: map[string]string{"key": "value"}}
			if owner != nil {
				m.OwnerReferences = []metav1.OwnerReference{*owner}
			}
			t := c.target(b, m)
			t.Name = ""
			items = append(items, registry.BatchItem{Verb: "create", Target: t, Object: m, Options: registry.WriteOptions{FieldManager: "bench"}})
		}
		done, err := c.Batch(b.Context(), items, false)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range done {
			if d.Err != nil {
				b.Fatal(d.Err)
			}
		}
	}
}

func heapMiB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// left counts a namespace's ConfigMaps.
func (c *cluster) left(b *testing.B, ns string) int {
	l, err := c.List(b.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: ns}, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	return len(l.Items)
}

// BenchmarkOrphans is the owner of 10,000 objects deleted in a cluster of 100,000, until
// all of them are gone; MiB is what the collector adds to the cluster's heap.
func BenchmarkOrphans(b *testing.B) {
	for _, h := range []struct {
		name string
		open func(testing.TB) host
	}{{"native", nativeHost}, {"wasm", wasmHost}} {
		b.Run(h.name, func(b *testing.B) {
			hosted := h.open(b)
			for b.Loop() {
				b.StopTimer()
				c := newCluster(b, hosted)
				owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "owner"}}
				c.mustCreate(b, owner)
				c.fill(b, namespace, "other", benchObjects-benchOrphans, nil)
				o, err := c.Get(b.Context(), c.target(b, owner), metav1.GetOptions{})
				if err != nil {
					b.Fatal(err)
				}
				ref := refTo("owner", o.Obj.(metav1.Object).GetUID())
				c.fill(b, "kube-system", "orphan", benchOrphans, &ref)
				before := heapMiB()
				c.start(b, "garbage-collector", &user.DefaultInfo{Name: "system:controllers"})
				b.StartTimer()
				start := time.Now()
				c.mustDelete(b, owner, "")
				eventually(b, "collected", func() string {
					time.Sleep(10 * time.Millisecond)
					return equal("left", c.left(b, "kube-system"), 0)
				})
				b.ReportMetric(benchOrphans/time.Since(start).Seconds(), "objects/s")
				b.StopTimer()
				b.ReportMetric(heapMiB()-before, "MiB")
				b.StartTimer()
			}
		})
	}
}

// BenchmarkNamespace is a namespace of 5,000 objects deleted until it is gone.
func BenchmarkNamespace(b *testing.B) {
	for _, h := range []struct {
		name string
		open func(testing.TB) host
	}{{"native", nativeHost}, {"wasm", wasmHost}} {
		b.Run(h.name, func(b *testing.B) {
			hosted := h.open(b)
			for b.Loop() {
				b.StopTimer()
				c := newCluster(b, hosted, "namespace")
				c.mustCreate(b, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
				c.fill(b, "team", "m", benchContent, nil)
				b.StartTimer()
				start := time.Now()
				c.mustDelete(b, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, "")
				eventually(b, "gone", func() string { return equal("namespace", get[corev1.Namespace](b, c, "team") == nil, true) })
				b.ReportMetric(benchContent/time.Since(start).Seconds(), "objects/s")
			}
		})
	}
}
