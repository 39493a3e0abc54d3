package controllertest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func newDaemonSet(name string) *appsv1.DaemonSet {
	labels := map[string]string{"app": name}
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "image:1"}}}}},
	}
}

// daemons are the pods of a namespace that are not about to go: node and image.
func daemons(t testing.TB, c *cluster) string {
	t.Helper()
	var out []string
	for _, p := range list[corev1.Pod](t, c, namespace) {
		if p.DeletionTimestamp == nil {
			out = append(out, p.Spec.NodeName+" "+strings.TrimPrefix(p.Spec.Containers[0].Image, "image:"))
		}
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

// lifeOfADaemonSet brings a DaemonSet through its life; what is there at its milestones
// comes back as lines.
func lifeOfADaemonSet(t *testing.T, h host) []string {
	c := newCluster(t, h, "daemonset", "garbage-collector")
	fleet := startNodes(t, c, "a", "b")
	var seen []string
	wait := func(what string, n int32, pods string) {
		t.Helper()
		eventually(t, what, func() string {
			s := get[appsv1.DaemonSet](t, c, "agent")
			return all(equal("observedGeneration", s.Status.ObservedGeneration, s.Generation), equal("desired", s.Status.DesiredNumberScheduled, n),
				equal("available", s.Status.NumberAvailable, n), equal("unavailable", s.Status.NumberUnavailable, 0), equal("updated", s.Status.UpdatedNumberScheduled, n),
				equal("misscheduled", s.Status.NumberMisscheduled, 0), equal("pods", daemons(t, c), pods))
		})
		seen = append(seen, fmt.Sprintf("%s: %s, revisions %s", what, daemons(t, c), history(t, c)))
	}
	change := func(f func(*appsv1.DaemonSetSpec)) {
		update(t, c, "agent", "", func(s *appsv1.DaemonSet) { f(&s.Spec) })
	}
	image := func(i string) { change(func(s *appsv1.DaemonSetSpec) { s.Template.Spec.Containers[0].Image = i }) }

	c.mustCreate(t, newDaemonSet("agent"))
	wait("created", 2, "[a 1 b 1]")
	fleet.join(t, "c")
	wait("a node joins", 3, "[a 1 b 1 c 1]")
	update(t, c, "c", "", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "t", Effect: corev1.TaintEffectNoExecute}} })
	wait("a node is tainted", 2, "[a 1 b 1]")
	update(t, c, "c", "", func(n *corev1.Node) { n.Spec.Taints = nil })
	wait("the taint is gone", 3, "[a 1 b 1 c 1]")
	image("image:2")
	wait("updated", 3, "[a 2 b 2 c 2]")
	change(func(s *appsv1.DaemonSetSpec) {
		zero, one := intstr.FromInt32(0), intstr.FromInt32(1)
		s.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &zero, MaxSurge: &one}
	})
	image("image:1")
	wait("undone with a surge", 3, "[a 1 b 1 c 1]")
	change(func(s *appsv1.DaemonSetSpec) {
		s.Template.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": "b"}
	})
	wait("selected", 1, "[b 1]")
	lost := list[corev1.Pod](t, c, namespace)[0]
	update(t, c, lost.Name, "status", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
	eventually(t, "a failed pod goes", func() string { return equal("there", get[corev1.Pod](t, c, lost.Name) != nil, false) })
	wait("a failed pod is made again", 1, "[b 1]")
	c.mustDelete(t, newDaemonSet("agent"), metav1.DeletePropagationForeground)
	eventually(t, "deleted", func() string {
		return all(equal("gone", get[appsv1.DaemonSet](t, c, "agent") == nil, true), equal("pods", daemons(t, c), "[]"), equal("revisions", history(t, c), "map[]"))
	})
	return seen
}

// TestDaemonSetInAllHosts holds the controller to one behaviour, however it is hosted.
func TestDaemonSetInAllHosts(t *testing.T) {
	want := []string{
		"created: [a 1 b 1], revisions map[1:image:1]",
		"a node joins: [a 1 b 1 c 1], revisions map[1:image:1]",
		"a node is tainted: [a 1 b 1], revisions map[1:image:1]",
		"the taint is gone: [a 1 b 1 c 1], revisions map[1:image:1]",
		"updated: [a 2 b 2 c 2], revisions map[1:image:1 2:image:2]",
		"undone with a surge: [a 1 b 1 c 1], revisions map[2:image:2 3:image:1]",
		"selected: [b 1], revisions map[2:image:2 3:image:1 4:image:1]",
		"a failed pod is made again: [b 1], revisions map[2:image:2 3:image:1 4:image:1]",
	}
	for name, open := range map[string]func(testing.TB) host{"native": nativeHost, "wasm": wasmHost, "process": processHost} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, lifeOfADaemonSet(t, open(t))); diff != "" {
				t.Errorf("life (-want +got):\n%s", diff)
			}
		})
	}
}
