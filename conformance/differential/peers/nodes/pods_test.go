package nodes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNext(t *testing.T) {
	now, zero, some := metav1.Now(), int64(0), int64(30)
	pod := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways}}
		change(p)
		return p
	}
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want step
	}{
		"new":       {pod(func(*corev1.Pod) {}), bind},
		"bound":     {pod(func(p *corev1.Pod) { p.Spec.NodeName = "a"; p.Status.Phase = corev1.PodPending }), run},
		"runs":      {pod(func(p *corev1.Pod) { p.Spec.NodeName = "a"; p.Status.Phase = corev1.PodRunning }), none},
		"a job's":   {pod(func(p *corev1.Pod) { p.Spec.NodeName, p.Spec.RestartPolicy, p.Status.Phase = "a", "Never", "Running" }), end},
		"succeeded": {pod(func(p *corev1.Pod) { p.Spec.NodeName, p.Spec.RestartPolicy, p.Status.Phase = "a", "Never", "Succeeded" }), none},
		"goes": {pod(func(p *corev1.Pod) {
			p.Spec.NodeName, p.Status.Phase, p.DeletionTimestamp, p.DeletionGracePeriodSeconds = "a", "Running", &now, &some
		}), remove},
		"held by a finalizer": {pod(func(p *corev1.Pod) {
			p.Spec.NodeName, p.Status.Phase, p.DeletionTimestamp, p.DeletionGracePeriodSeconds = "a", "Running", &now, &zero
		}), none},
	} {
		if got := next(c.pod); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestTarget(t *testing.T) {
	p := &corev1.Pod{}
	if got := target(p); got != "" {
		t.Errorf("a pod without affinity goes to %q", got)
	}
	p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"sim-00007"}}}}}}}}
	if got := target(p); got != "sim-00007" {
		t.Errorf("a DaemonSet's pod goes to %q", got)
	}
}
