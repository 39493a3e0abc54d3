package controllertest_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

const benchPods = 5000

// BenchmarkCreate is a Deployment of 5,000 pods, from its creation until all
// pods exist and its status says so, with the workload controllers at work.
func BenchmarkCreate(b *testing.B) {
	for _, h := range []struct {
		name string
		open func(testing.TB) host
	}{{"native", nativeHost}, {"wasm", wasmHost}, {"process", processHost}} {
		b.Run(h.name, func(b *testing.B) {
			hosted := h.open(b)
			for b.Loop() {
				b.StopTimer()
				c := newCluster(b, hosted, workload...)
				c.mustCreate(b, newDeployment("warm", 1))
				eventually(b, "warm", func() string { return equal("pods", count(b, c), 1) })
				b.StartTimer()
				start := time.Now()
				c.mustCreate(b, newDeployment("web", benchPods))
				eventually(b, "created", func() string {
					time.Sleep(10 * time.Millisecond)
					return equal("pods", count(b, c), benchPods+1)
				})
				made := time.Since(start)
				eventually(b, "counted", func() string {
					return equal("replicas", get[appsv1.Deployment](b, c, "web").Status.Replicas, int32(benchPods))
				})
				b.ReportMetric(benchPods/made.Seconds(), "pods/s")
				b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-to-status")
			}
		})
	}
}

func count(t testing.TB, c *cluster) int {
	t.Helper()
	l, err := c.List(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: namespace}, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	return len(l.Items)
}
