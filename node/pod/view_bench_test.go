package pod

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/pintle-io/pintle/node/admit"
)

// BenchmarkDecision is what it takes to put together what a decision about one
// pod is made from: all others of a full node.
func BenchmarkDecision(b *testing.B) {
	w := NewWorkers(Config{Client: fake.NewSimpleClientset(), Recorder: record.NewFakeRecorder(1000),
		Admit: func(context.Context, *corev1.Pod, []*corev1.Pod) *admit.Refusal { return nil }})
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	for i := range 110 {
		p := aged(fmt.Sprint("p", i), 0)
		for c := range 2 {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", c),
				Resources: corev1.ResourceRequirements{Requests: list, Limits: list}})
		}
		w.Update(p)
	}
	w.Open()
	for _, k := range w.workers {
		k.view.setStatus(&corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady}}})
	}
	one := aged("one", 0)
	b.ReportAllocs()
	for b.Loop() {
		w.admission.mu.Lock()
		w.ask(one, w.active())
		w.admission.mu.Unlock()
	}
}
