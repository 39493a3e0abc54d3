package controllertest_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

// BenchmarkDaemonSet is a DaemonSet on so many nodes: how long it takes until all have
// their pods, and then, for each of b.N, from the change of one pod until the status
// tells of it.
func BenchmarkDaemonSet(b *testing.B) {
	for _, h := range []struct {
		name string
		open func(testing.TB) host
	}{{"native", nativeHost}, {"wasm", wasmHost}, {"process", processHost}} {
		hosted := h.open(b)
		for _, n := range []int{10, 5000} {
			b.Run(fmt.Sprint(h.name, "/", n), func(b *testing.B) { benchmarkDaemonSet(b, hosted, n) })
		}
	}
}

func benchmarkDaemonSet(b *testing.B, h host, n int) {
	c := newCluster(b, h, "daemonset")
	for i := range n {
		c.mustCreate(b, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%04d", i), Labels: map[string]string{"kubernetes.io/os": "linux"}}})
	}
	start := time.Now()
	c.mustCreate(b, newDaemonSet("agent"))
	eventually(b, "made", func() string {
		return equal("scheduled", get[appsv1.DaemonSet](b, c, "agent").Status.CurrentNumberScheduled, int32(n))
	})
	made := time.Since(start)
	pod := list[corev1.Pod](b, c, namespace)[0].Name
	w, err := c.Watch(b.Context(), registry.Target{Resource: appsv1.SchemeGroupVersion.WithResource("daemonsets"), Namespace: namespace}, metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	ready := false
	for b.Loop() {
		ready = !ready
		update(b, c, pod, "status", func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
			if ready {
				p.Status.Conditions[0].Status = corev1.ConditionTrue
			}
		})
		for e := range w.Events() {
			if s, ok := e.Object.Obj.(*appsv1.DaemonSet); ok && (s.Status.NumberReady == 1) == ready {
				break
			}
		}
	}
	b.ReportMetric(float64(n)/made.Seconds(), "pods/s")
}
