package cache

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

func node(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourcePods: resource.MustParse("110")}}}
}

func pod(name, on, cpu string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)},
		Spec: corev1.PodSpec{NodeName: on, Containers: []corev1.Container{{Name: "c",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}}}}
}

func (c *Cache) used(t *testing.T, node string) (milli, pods int64) {
	t.Helper()
	row, ok := c.table.Row(node)
	if !ok {
		t.Fatalf("no node %s", node)
	}
	u, n := c.table.Usage(row)
	return u.Requests.MilliCPU, n
}

func (c *Cache) want(t *testing.T, what, node string, milli, pods int64) {
	t.Helper()
	if m, n := c.used(t, node); m != milli || n != pods {
		t.Errorf("%s: %s has %d pods with %d, want %d with %d", what, node, n, m, pods, milli)
	}
}

func TestAssumed(t *testing.T) {
	c := New()
	if e := c.PutNode(node("a")); e != schedule.NodeAdded {
		t.Errorf("a new node is event %b", e)
	}
	c.PutNode(node("b"))
	o := pod("p", "", "1")
	key := types.NamespacedName{Namespace: "default", Name: "p"}
	u := UsageOf(o)

	p := c.Assume(o, &u, "a")
	c.want(t, "assumed", "a", 1000, 1)
	if e, ok := c.Forget(p); !ok || e != schedule.PodDeleted {
		t.Errorf("forget: event %b, %v", e, ok)
	}
	c.want(t, "forgotten", "a", 0, 0)
	if _, ok := c.Forget(p); ok {
		t.Error("forgotten twice")
	}

	p = c.Assume(o, &u, "a")
	if e := c.PutPod(pod("p", "a", "1")); e != 0 {
		t.Errorf("a confirmation is event %b", e)
	}
	if _, ok := c.Forget(p); ok {
		t.Error("a pod that was seen on its node was forgotten")
	}
	c.want(t, "confirmed", "a", 1000, 1)

	if e := c.PutPod(pod("p", "b", "1")); e != schedule.PodDeleted|schedule.PodAdded {
		t.Errorf("elsewhere than assumed is event %b", e)
	}
	c.want(t, "moved", "a", 0, 0)
	c.want(t, "moved", "b", 1000, 1)
	if e := c.PutPod(pod("p", "b", "2")); e != schedule.PodChanged {
		t.Errorf("a resize is event %b", e)
	}
	if e := c.RemovePod(key); e != schedule.PodDeleted || c.RemovePod(key) != 0 || c.Get(key) != nil {
		t.Errorf("removed: event %b", e)
	}
	c.want(t, "removed", "b", 0, 0)
}

// A pod that was assumed, deleted and assumed again is another one: the first
// binding's failure says nothing of it.
func TestForgetsOnlyItsOwn(t *testing.T) {
	c := New()
	c.PutNode(node("a"))
	o := pod("p", "", "1")
	key := types.NamespacedName{Namespace: "default", Name: "p"}
	u := UsageOf(o)
	first := c.Assume(o, &u, "a")
	c.RemovePod(key)
	c.Assume(o, &u, "a")
	if _, ok := c.Forget(first); ok {
		t.Error("the second was forgotten with the first")
	}
	c.want(t, "assumed again", "a", 1000, 1)
}

func TestNodeEvents(t *testing.T) {
	c := New()
	c.PutNode(node("a"))
	for name, x := range map[string]struct {
		change func(*corev1.Node)
		want   schedule.ClusterEvent
	}{
		"nothing":     {func(*corev1.Node) {}, 0},
		"labels":      {func(n *corev1.Node) { n.Labels = map[string]string{"a": "b"} }, schedule.NodeLabelsChanged},
		"taints":      {func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: "NoSchedule"}} }, schedule.NodeTaintsChanged},
		"cordon":      {func(n *corev1.Node) { n.Spec.Unschedulable = true }, schedule.NodeUnschedulableChanged},
		"allocatable": {func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("8") }, schedule.NodeAllocatableChanged},
	} {
		n := node("a")
		x.change(n)
		if e := c.PutNode(n); e != x.want {
			t.Errorf("%s: event %b, want %b", name, e, x.want)
		}
		c.PutNode(node("a"))
	}
}
