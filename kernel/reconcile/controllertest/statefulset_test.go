package controllertest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newStatefulSet asks for pods with a claim each, which goes with them.
func newStatefulSet(name string, replicas int32) *appsv1.StatefulSet {
	labels := map[string]string{"app": name}
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{Replicas: &replicas, ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "image:1", VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}}}}},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}},
			PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
				WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType, WhenScaled: appsv1.DeletePersistentVolumeClaimRetentionPolicyType}},
	}
}

// identities are the pods of a namespace, each with its image and its claim.
func identities(t testing.TB, c *cluster) string {
	t.Helper()
	claims := map[string]bool{}
	for _, x := range list[corev1.PersistentVolumeClaim](t, c, namespace) {
		claims[x.Name] = true
	}
	var out []string
	for _, p := range list[corev1.Pod](t, c, namespace) {
		claim := "none"
		for _, v := range p.Spec.Volumes {
			if x := v.PersistentVolumeClaim; x != nil && claims[x.ClaimName] {
				claim = x.ClaimName
			}
		}
		out = append(out, fmt.Sprintf("%s %s %s", p.Name, strings.TrimPrefix(p.Spec.Containers[0].Image, "image:"), claim))
	}
	return fmt.Sprint(out, " claims ", len(claims))
}

// history is the revisions of all sets, as numbers and images.
func history(t testing.TB, c *cluster) string {
	t.Helper()
	out := map[int64]string{}
	for _, r := range list[appsv1.ControllerRevision](t, c, namespace) {
		_, after, _ := strings.Cut(string(r.Data.Raw), `"image":"`)
		image, _, _ := strings.Cut(after, `"`)
		out[r.Revision] = image
	}
	return fmt.Sprint(out)
}

// lifeOfASet brings a StatefulSet through its life; what is there at its milestones
// comes back as lines.
func lifeOfASet(t *testing.T, h host) []string {
	c := newCluster(t, h, "statefulset", "garbage-collector")
	startNodes(t, c, "a", "b")
	var seen []string
	wait := func(what string, n, updated int32, pods string) {
		t.Helper()
		var there string
		eventually(t, what, func() string {
			s := get[appsv1.StatefulSet](t, c, "db")
			there = identities(t, c)
			return all(equal("observedGeneration", s.Status.ObservedGeneration, s.Generation), equal("replicas", s.Status.Replicas, n),
				equal("available", s.Status.AvailableReplicas, n), equal("updated", s.Status.UpdatedReplicas, updated), equal("pods", there, pods))
		})
		seen = append(seen, fmt.Sprintf("%s: %s, revisions %s", what, there, history(t, c)))
	}
	change := func(f func(*appsv1.StatefulSetSpec)) {
		update(t, c, "db", "", func(s *appsv1.StatefulSet) { f(&s.Spec) })
	}
	image := func(i string) func(*appsv1.StatefulSetSpec) {
		return func(s *appsv1.StatefulSetSpec) { s.Template.Spec.Containers[0].Image = i }
	}
	scale := func(n int32) func(*appsv1.StatefulSetSpec) {
		return func(s *appsv1.StatefulSetSpec) { s.Replicas = &n }
	}
	partition := func(n int32) func(*appsv1.StatefulSetSpec) {
		return func(s *appsv1.StatefulSetSpec) { s.UpdateStrategy.RollingUpdate.Partition = &n }
	}

	c.mustCreate(t, newStatefulSet("db", 2))
	wait("created", 2, 2, "[db-0 1 data-db-0 db-1 1 data-db-1] claims 2")
	change(scale(4))
	wait("scaled up", 4, 4, "[db-0 1 data-db-0 db-1 1 data-db-1 db-2 1 data-db-2 db-3 1 data-db-3] claims 4")
	change(scale(2))
	wait("scaled down", 2, 2, "[db-0 1 data-db-0 db-1 1 data-db-1] claims 2")
	change(partition(1))
	change(image("image:2"))
	wait("partly updated", 2, 1, "[db-0 1 data-db-0 db-1 2 data-db-1] claims 2")
	lost := get[corev1.Pod](t, c, "db-0").UID
	c.mustDelete(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db-0"}}, "")
	eventually(t, "the pod that is lost goes", func() string {
		p := get[corev1.Pod](t, c, "db-0")
		return equal("gone", p == nil || p.UID != lost, true)
	})
	wait("a pod below the partition is lost", 2, 1, "[db-0 1 data-db-0 db-1 2 data-db-1] claims 2")
	change(partition(0))
	wait("updated", 2, 2, "[db-0 2 data-db-0 db-1 2 data-db-1] claims 2")
	change(image("image:1"))
	wait("undone", 2, 2, "[db-0 1 data-db-0 db-1 1 data-db-1] claims 2")
	update(t, c, "db-1", "status", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
	eventually(t, "a failed pod is made again", func() string {
		p := get[corev1.Pod](t, c, "db-1")
		return all(equal("there", p != nil && p.Status.Phase == corev1.PodRunning, true), equal("available", get[appsv1.StatefulSet](t, c, "db").Status.AvailableReplicas, 2))
	})
	c.mustDelete(t, newStatefulSet("db", 0), metav1.DeletePropagationForeground)
	eventually(t, "deleted", func() string {
		return all(equal("gone", get[appsv1.StatefulSet](t, c, "db") == nil, true), equal("pods", identities(t, c), "[] claims 0"), equal("revisions", history(t, c), "map[]"))
	})
	return seen
}

// TestStatefulSetInAllHosts holds the controller to one behaviour, however it is
// hosted.
func TestStatefulSetInAllHosts(t *testing.T) {
	want := []string{
		"created: [db-0 1 data-db-0 db-1 1 data-db-1] claims 2, revisions map[1:image:1]",
		"scaled up: [db-0 1 data-db-0 db-1 1 data-db-1 db-2 1 data-db-2 db-3 1 data-db-3] claims 4, revisions map[1:image:1]",
		"scaled down: [db-0 1 data-db-0 db-1 1 data-db-1] claims 2, revisions map[1:image:1]",
		"partly updated: [db-0 1 data-db-0 db-1 2 data-db-1] claims 2, revisions map[1:image:1 2:image:2]",
		"a pod below the partition is lost: [db-0 1 data-db-0 db-1 2 data-db-1] claims 2, revisions map[1:image:1 2:image:2]",
		"updated: [db-0 2 data-db-0 db-1 2 data-db-1] claims 2, revisions map[1:image:1 2:image:2]",
		"undone: [db-0 1 data-db-0 db-1 1 data-db-1] claims 2, revisions map[2:image:2 3:image:1]",
	}
	for name, open := range map[string]func(testing.TB) host{"native": nativeHost, "wasm": wasmHost, "process": processHost} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, lifeOfASet(t, open(t))); diff != "" {
				t.Errorf("life (-want +got):\n%s", diff)
			}
		})
	}
}
