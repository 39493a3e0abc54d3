package cache_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/scheduler/cache"
)

// BenchmarkPod is a pod that comes, is started and goes, on one of 5,000 nodes,
// while no plugin reads columns over pods.
func BenchmarkPod(b *testing.B) {
	c := cache.New()
	for i := range 5000 {
		c.PutNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i)}})
	}
	pods := make([]*corev1.Pod, 2000)
	for i := range pods {
		priority := int32(i % 3)
		pods[i] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("p", i), Labels: map[string]string{"app": fmt.Sprint(i % 50)}},
			Spec: corev1.PodSpec{NodeName: fmt.Sprint("n", i*7%5000), Priority: &priority, Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}}}}}}
	}
	started := make([]*corev1.Pod, len(pods))
	for i, p := range pods {
		started[i] = p.DeepCopy()
		started[i].Status.StartTime = &metav1.Time{}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 1) % len(pods)
		c.PutPod(pods[i])
		c.PutPod(started[i])
		c.RemovePod(types.NamespacedName{Namespace: "default", Name: pods[i].Name})
	}
}
