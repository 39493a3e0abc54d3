package kinds_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
)

// addNodes registers nodes, and until the test ends does for the pods that the
// scheduler puts on them what their agents would.
func (g stateful) addNodes(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		n, err := g.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}, metav1.CreateOptions{})
		g.must(t, err)
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
		n.Status.Capacity = n.Status.Allocatable
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		_, err = g.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{})
		g.must(t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	w, err := g.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	g.must(t, err)
	go func() {
		defer close(done)
		defer w.Stop()
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok && slices.Contains(names, p.Spec.NodeName) {
				g.tend(ctx, p)
			}
		}
	}()
}

// tend takes a pod one step further; it may be gone.
func (g stateful) tend(ctx context.Context, p *corev1.Pod) {
	switch {
	case p.DeletionTimestamp != nil:
		now := int64(0)
		_ = g.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID}})
	case p.Status.Phase == corev1.PodPending:
		status := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, p.UID, time.Now().UTC().Format(time.RFC3339))
		_, _ = g.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, status, metav1.PatchOptions{}, "status")
	}
}

func aDaemonSet(name string) *appsv1.DaemonSet {
	labels := map[string]string{"app": name}
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "one"}}}}}}
}

// onNodes waits until a DaemonSet has one available pod of an image on each of the nodes,
// where the scheduler has put it, and none elsewhere.
func (g stateful) onNodes(t testing.TB, name, image string, nodes ...string) {
	t.Helper()
	g.eventually(t, fmt.Sprint(name, " with ", image, " on ", nodes), func() string {
		set, err := g.AppsV1().DaemonSets("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		s, n := set.Status, int32(len(nodes))
		if s.ObservedGeneration != set.Generation || s.DesiredNumberScheduled != n || s.NumberAvailable != n || s.UpdatedNumberScheduled != n || s.NumberMisscheduled != 0 || s.NumberUnavailable != 0 {
			return fmt.Sprintf("generation %d, status %+v", set.Generation, s)
		}
		pods, err := g.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
		if err != nil {
			return err.Error()
		}
		var at []string
		for _, p := range pods.Items {
			if p.Spec.Containers[0].Image != image {
				return "image " + p.Spec.Containers[0].Image
			}
			at = append(at, p.Spec.NodeName)
		}
		if slices.Sort(at); !slices.Equal(at, nodes) {
			return fmt.Sprint("pods on ", at)
		}
		return ""
	})
}

// TestDaemonSet: a DaemonSet as its user sees it, by client-go and kubectl, with our
// scheduler: made without a warning, updated, undone, told of by events; with no more
// permissions than the controller ships with.
func TestDaemonSet(t *testing.T) {
	g := newShipping(t, "daemonset", "scheduling")
	g.addNodes(t, "a", "b", "c")
	g.warnings = nil
	sets := g.AppsV1().DaemonSets("default")
	_, err := sets.Create(t.Context(), aDaemonSet("agent"), metav1.CreateOptions{})
	g.must(t, err)
	if len(g.warnings) > 0 {
		t.Errorf("warnings %q", g.warnings)
	}
	g.onNodes(t, "agent", "one", "a", "b", "c")
	_, err = sets.Patch(t.Context(), "agent", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"two"}]}}}}`), metav1.PatchOptions{})
	g.must(t, err)
	if out := g.kubectl(t, "rollout", "status", "daemonset/agent", "--timeout=40s"); !strings.Contains(out, "successfully rolled out") {
		t.Errorf("rollout status: %s", out)
	}
	g.onNodes(t, "agent", "two", "a", "b", "c")
	if out := g.kubectl(t, "rollout", "undo", "daemonset/agent"); !strings.Contains(out, "rolled back") {
		t.Errorf("rollout undo: %s", out)
	}
	g.onNodes(t, "agent", "one", "a", "b", "c")
	if out := g.kubectl(t, "rollout", "history", "daemonset/agent"); !strings.Contains(out, "2 <none>\n3 <none>") {
		t.Errorf("rollout history: %s", out)
	}
	// A node that is not to have it any more; one that is cordoned keeps it.
	g.kubectl(t, "label", "node", "a", "b", "for=agents")
	_, err = sets.Patch(t.Context(), "agent", types.MergePatchType, []byte(`{"spec":{"template":{"spec":{"nodeSelector":{"for":"agents"}}}}}`), metav1.PatchOptions{})
	g.must(t, err)
	g.onNodes(t, "agent", "one", "a", "b")
	g.kubectl(t, "taint", "node", "b", "node.kubernetes.io/unschedulable=:NoSchedule")
	g.kubectl(t, "delete", "pod", "-l", "app=agent", "--wait=false")
	g.onNodes(t, "agent", "one", "a", "b")
	g.kubectl(t, "label", "node", "b", "for-")
	g.onNodes(t, "agent", "one", "a")
	g.eventually(t, "events", func() string {
		events, err := g.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=DaemonSet"})
		g.must(t, err)
		reasons := map[string]bool{}
		for _, e := range events.Items {
			reasons[e.Reason+" "+e.Message[:min(len(e.Message), len("Created pod: agent-"))]] = true
		}
		if !reasons["SuccessfulCreate Created pod: agent-"] || !reasons["SuccessfulDelete Deleted pod: agent-"] {
			return fmt.Sprint(reasons)
		}
		return ""
	})
	g.noFault(t, "daemonset")
}

// noFault tells of what a plugin was refused.
func (g stateful) noFault(t testing.TB, name string) {
	t.Helper()
	o, err := g.Registry.Get(t.Context(), registry.Target{Resource: v1alpha1.GroupVersion.WithResource("plugins"), Name: name}, metav1.GetOptions{})
	g.must(t, err)
	if e := o.Obj.(*v1alpha1.Plugin).Status.LastError; e != nil {
		t.Errorf("the controller was refused something: %+v", e)
	}
}

// TestRevisionsOfADaemonSet takes the steps of upstream's [Conformance] test of
// ControllerRevisions (test/e2e/apps/controller_revision.go).
func TestRevisionsOfADaemonSet(t *testing.T) {
	g := newShipping(t, "daemonset", "scheduling")
	g.addNodes(t, "a")
	sets, revisions := g.AppsV1().DaemonSets("default"), g.AppsV1().ControllerRevisions("default")
	_, err := sets.Create(t.Context(), aDaemonSet("agent"), metav1.CreateOptions{})
	g.must(t, err)
	g.onNodes(t, "agent", "one", "a")
	count := func(what string, n int) (list []appsv1.ControllerRevision) {
		t.Helper()
		g.eventually(t, what, func() string {
			all, err := revisions.List(t.Context(), metav1.ListOptions{LabelSelector: "app=agent"})
			if err != nil || len(all.Items) != n {
				return fmt.Sprint(len(all.Items), err)
			}
			list = all.Items
			return ""
		})
		return list
	}
	first := count("the first", 1)[0]
	set, err := sets.Get(t.Context(), "agent", metav1.GetOptions{})
	g.must(t, err)
	if !metav1.IsControlledBy(&first, set) || first.Revision != 1 || first.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == "" {
		t.Errorf("the first is %+v", first)
	}
	_, err = revisions.Patch(t.Context(), first.Name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), metav1.PatchOptions{})
	g.must(t, err)
	second := first.DeepCopy()
	second.ObjectMeta = metav1.ObjectMeta{Name: "agent-second", Labels: map[string]string{"app": "agent", appsv1.DefaultDaemonSetUniqueLabelKey: "second"}, OwnerReferences: first.OwnerReferences}
	second.Revision = 2
	_, err = revisions.Create(t.Context(), second, metav1.CreateOptions{})
	g.must(t, err)
	count("two", 2)
	g.must(t, revisions.Delete(t.Context(), first.Name, metav1.DeleteOptions{}))
	count("one is deleted", 1)
	_, err = revisions.Patch(t.Context(), "agent-second", types.MergePatchType, []byte(`{"metadata":{"labels":{"updated":"yes"}}}`), metav1.PatchOptions{})
	g.must(t, err)
	_, err = sets.Patch(t.Context(), "agent", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":1}}}}`), metav1.PatchOptions{})
	g.must(t, err)
	count("one of a new template", 2)
	g.must(t, revisions.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "updated=yes"}))
	if last := count("the last", 1)[0]; last.Revision != 3 {
		t.Errorf("the last has number %d", last.Revision)
	}
	g.onNodes(t, "agent", "one", "a")
}

// TestDrainLeavesDaemons: kubectl drain stops at the pods of a DaemonSet, unless told to
// ignore them; then it ends, and they stay on the node that is cordoned.
func TestDrainLeavesDaemons(t *testing.T) {
	g := newShipping(t, "daemonset", "scheduling", "replicaset")
	g.addNodes(t, "a")
	_, err := g.AppsV1().DaemonSets("default").Create(t.Context(), aDaemonSet("agent"), metav1.CreateOptions{})
	g.must(t, err)
	one, labels := int32(1), map[string]string{"app": "web"}
	_, err = g.AppsV1().ReplicaSets("default").Create(t.Context(), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.ReplicaSetSpec{Replicas: &one,
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "one"}}}}}}, metav1.CreateOptions{})
	g.must(t, err)
	g.onNodes(t, "agent", "one", "a")
	g.eventually(t, "web", func() string {
		s, err := g.AppsV1().ReplicaSets("default").Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil || s.Status.ReadyReplicas != 1 {
			return fmt.Sprint(s.Status, err)
		}
		return ""
	})
	// Without a server it says what is in the way; the dry run changes nothing.
	if out := g.kubectl(t, "drain", "a", "--ignore-daemonsets", "--dry-run=client"); !strings.Contains(out, "ignoring DaemonSet-managed Pods: default/agent-") {
		t.Errorf("dry run: %s", out)
	}
	out := g.kubectl(t, "drain", "a", "--ignore-daemonsets", "--timeout=40s")
	for _, want := range []string{"ignoring DaemonSet-managed Pods: default/agent-", "evicting pod default/web-", "node/a drained"} {
		if !strings.Contains(out, want) {
			t.Errorf("drain does not say %q: %s", want, out)
		}
	}
	if strings.Contains(out, "evicting pod default/agent-") {
		t.Errorf("drain: %s", out)
	}
	g.onNodes(t, "agent", "one", "a")
	pods, err := g.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=a"})
	g.must(t, err)
	for _, p := range pods.Items {
		if p.Labels["app"] != "agent" {
			t.Errorf("pod %s is still there", p.Name)
		}
	}
}
