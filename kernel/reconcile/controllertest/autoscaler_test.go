package controllertest_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAutoscaler: in each host, an autoscaler brings its target into bounds without
// metrics, and says why it does no more where nobody serves any.
func TestAutoscaler(t *testing.T) {
	for name, host := range map[string]func(testing.TB) host{"native": nativeHost, "wasm": wasmHost, "process": processHost} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, host(t), "horizontal-pod-autoscaler")
			replicas, labels := int32(7), map[string]string{"app": "web"}
			c.mustCreate(t, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}, Spec: appsv1.DeploymentSpec{
				Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "image:1"}}}}}})
			c.mustCreate(t, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MaxReplicas: 5}})
			is := func(n int32, condition, reason string) func() string {
				return func() string {
					h := get[autoscalingv2.HorizontalPodAutoscaler](t, c, "web")
					got := "none"
					for _, x := range h.Status.Conditions {
						if string(x.Type) == condition {
							got = x.Reason
						}
					}
					return all(equal("replicas", *get[appsv1.Deployment](t, c, "web").Spec.Replicas, n), equal(condition, got, reason))
				}
			}
			eventually(t, "within bounds", is(5, "AbleToScale", "SucceededRescale"))
			update(t, c, "web", "", func(h *autoscalingv2.HorizontalPodAutoscaler) { h.Spec.MaxReplicas = 8 })
			eventually(t, "without metrics", is(5, "ScalingActive", "FailedGetResourceMetric"))
		})
	}
}
