package controllertest_test

import (
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/admission"
)

// BenchmarkPodAdmission is what the rules that ship add to the creation of a
// pod.
func BenchmarkPodAdmission(b *testing.B) {
	for _, open := range []func(testing.TB) host{nativeHost, wasmHost} {
		h := open(b)
		for _, set := range []struct {
			name  string
			rules []string
		}{
			{"account", []string{"service-account"}},
			{"account+priority", []string{"service-account", "priority"}},
			{"quota, where there is none", []string{"resource-quota"}},
			{"all", []string{"limit-ranger", "service-account", "priority", "default-tolerations", "storage-protection", "runtime-class", "resource-quota"}},
		} {
			b.Run(h.name+"/"+set.name, func(b *testing.B) { benchmarkPodAdmission(b, h, set.rules) })
		}
	}
}

func benchmarkPodAdmission(b *testing.B, h host, rules []string) {
	c := newCluster(b, h, rules...)
	c.mustCreate(b, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}})
	pod := newPod(namespace, "web-5d8c7b9f4d-x2x7z", nil)
	before := cpu()
	for b.Loop() {
		a := &admission.Attributes{Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("pods"),
			Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Namespace: namespace, Name: pod.Name, Object: pod}
		if err := c.chain.Mutate(b.Context(), a); err != nil {
			b.Fatal(err)
		}
		if err := c.chain.Validate(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}

// cpu is the processor time of this process, which says more than a clock where
// others work beside it.
func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for a bad pointer only
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkBindingAdmission is what the rules that ship add to the binding of a pod.
func BenchmarkBindingAdmission(b *testing.B) {
	for _, open := range []func(testing.TB) host{nativeHost, wasmHost} {
		h := open(b)
		b.Run(h.name, func(b *testing.B) {
			c := newCluster(b, h, "pod-topology-labels")
			c.mustCreate(b, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelTopologyZone: "z", corev1.LabelTopologyRegion: "r", corev1.LabelHostname: "n"}}})
			before := cpu()
			for b.Loop() {
				binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}
				a := &admission.Attributes{Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("pods"), Subresource: "binding",
					Kind: corev1.SchemeGroupVersion.WithKind("Binding"), Namespace: namespace, Name: "web", Object: binding}
				if err := c.chain.Mutate(b.Context(), a); err != nil {
					b.Fatal(err)
				}
				if got := a.Object.(*corev1.Binding).Labels; len(got) != 2 {
					b.Fatalf("labels %v", got)
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
