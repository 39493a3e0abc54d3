package present_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin/present"
)

func TestIn(t *testing.T) {
	no, class := false, "gvisor"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{"a.b/c": "x", "empty": ""}},
		Spec: corev1.PodSpec{RuntimeClassName: &class, AutomountServiceAccountToken: &no, NodeSelector: map[string]string{},
			Volumes: []corev1.Volume{{Name: "a"}, {Name: "b", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		paths []string
		want  bool
	}{
		{nil, true},
		{[]string{"metadata.name"}, true},
		{[]string{"spec.runtimeClassName"}, true},
		{[]string{"spec.automountServiceAccountToken"}, true}, // false is not nothing
		{[]string{"spec.nodeSelector"}, false},
		{[]string{"spec.overhead"}, false},
		{[]string{"spec.runtimeClassName", "spec.overhead"}, false},
		{[]string{"spec.unheardOf"}, false},
		{[]string{"metadata.annotations[a.b/c]"}, true},
		{[]string{"metadata.annotations.other"}, false},
		{[]string{"spec.volumes"}, true},
		{[]string{"spec.volumes.persistentVolumeClaim"}, true}, // one of them
		{[]string{"spec.volumes[0].persistentVolumeClaim"}, false},
		{[]string{"spec.volumes[1].persistentVolumeClaim"}, true},
		{[]string{"spec.volumes[2].name"}, false},
		{[]string{"spec.volumes.ephemeral"}, false},
		{[]string{"spec.containers.name"}, false},
	} {
		paths, err := present.Parse(tc.paths)
		if err != nil {
			t.Fatal(err)
		}
		for form, obj := range map[string]runtime.Object{"typed": pod, "tree": &unstructured.Unstructured{Object: content}} {
			if got := paths.In(obj); got != tc.want {
				t.Errorf("%s %v: %v, want %v", form, tc.paths, got, tc.want)
			}
		}
	}
	if _, err := present.Parse([]string{"a..b"}); err == nil {
		t.Error("a malformed path is accepted")
	}
}

func TestTexts(t *testing.T) {
	claim := func(name string) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}
	}
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{"a.b/c": "x", "empty": ""}},
		Spec: corev1.PodSpec{NodeName: "n", AutomountServiceAccountToken: &yes, HostNetwork: true,
			Volumes: []corev1.Volume{{Name: "a", VolumeSource: claim("c")}, {Name: "b"}, {Name: "c", VolumeSource: claim("d")}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"spec.nodeName":                                   {"n"},
		"status.phase":                                    {"Running"},
		"metadata.annotations[a.b/c]":                     {"x"},
		"metadata.annotations.empty":                      nil,
		"metadata.annotations":                            nil,
		"metadata.labels.a":                               nil,
		"spec.volumes.persistentVolumeClaim.claimName":    {"c", "d"},
		"spec.volumes[2].persistentVolumeClaim.claimName": {"d"},
		"spec.volumes[3].name":                            nil,
		"spec.volumes.name":                               {"a", "b", "c"},
		"spec.hostNetwork":                                nil,
		"spec.automountServiceAccountToken":               nil,
		"spec.unheardOf.of":                               nil,
		"spec.nodeName.below":                             nil,
	} {
		p, err := present.Parse([]string{path})
		if err != nil {
			t.Fatal(err)
		}
		for form, obj := range map[string]runtime.Object{"typed": pod, "tree": &unstructured.Unstructured{Object: content}} {
			if got := present.Texts(obj, p[0]); !slices.Equal(got, want) {
				t.Errorf("%s %s: %q, want %q", form, path, got, want)
			}
		}
	}
}

func BenchmarkIn(b *testing.B) {
	p, err := present.Parse([]string{"spec.runtimeClassName"})
	if err != nil {
		b.Fatal(err)
	}
	pod := &corev1.Pod{}
	for b.Loop() {
		p.In(pod)
	}
}
