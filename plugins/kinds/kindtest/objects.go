package kindtest

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NewPod is a pod as a client sends it, edited.
func NewPod(edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u", ResourceVersion: "1"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

// StoredPod is a pod as the cache holds it.
func StoredPod(t testing.TB, edit ...func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	p := NewPod()
	if errs := Create(t, Definition(t, "pods"), p); len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

// OnNode puts a pod on a node, where it runs.
func OnNode(p *corev1.Pod) { p.UID, p.Spec.NodeName, p.Status.Phase = "u1", "n1", corev1.PodRunning }

// NewService is a Service as a client sends it, edited.
func NewService(name string, edit ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: "u", ResourceVersion: "1"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "a"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
	for _, e := range edit {
		e(s)
	}
	return s
}

// WithIP asks for a ClusterIP.
func WithIP(ip string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.ClusterIP = ip }
}

// Template is the least template of a pod.
func Template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

// Deployment is the least Deployment, edited.
func Deployment(edit ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "ns", UID: "u", ResourceVersion: "5"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}, Template: Template()}}
	for _, e := range edit {
		e(d)
	}
	return d
}
