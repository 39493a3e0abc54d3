package controllertest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// nodes stands for scheduler and node agents: pods go to the nodes that live
// in turn, or to the one that they name, are ready at once unless refused, and end at once when deleted.
type nodes struct {
	c *cluster

	mu    sync.Mutex
	alive []string
	next  int
	ips   int
	// ready decides about a pod; nil is yes. guarded by mu
	ready func(*corev1.Pod) bool
}

func startNodes(t testing.TB, c *cluster, names ...string) *nodes {
	t.Helper()
	n := &nodes{c: c}
	for _, name := range names {
		n.join(t, name)
	}
	c.run(t, "nodes", n.run)
	return n
}

func (n *nodes) join(t testing.TB, name string) {
	t.Helper()
	n.c.mustCreate(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}})
	update(t, n.c, name, "status", func(o *corev1.Node) {
		o.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alive = append(n.alive, name)
}

// kill makes a node fall silent.
func (n *nodes) kill(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, x := range n.alive {
		if x == name {
			n.alive = append(n.alive[:i], n.alive[i+1:]...)
			return
		}
	}
}

func (n *nodes) living(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range n.alive {
		if x == name {
			return true
		}
	}
	return false
}

func (n *nodes) decide(ready func(*corev1.Pod) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ready = ready
}

func (n *nodes) run(ctx context.Context) error {
	var leases sync.WaitGroup
	leases.Go(func() { n.heartbeat(ctx) })
	defer leases.Wait()
	w, err := n.c.Watch(ctx, registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods")}, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.Events() {
		if e.Type == watch.Added || e.Type == watch.Modified {
			n.look(ctx, e.Object.Obj.(*corev1.Pod))
		}
	}
	return w.Err()
}

// look takes a pod one step further. What fails here, for example because the
// pod changed meanwhile, comes again with the change.
func (n *nodes) look(ctx context.Context, p *corev1.Pod) {
	t := registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: p.Namespace, Name: p.Name}
	switch {
	case p.Spec.NodeName == "":
		if node := n.pick(p); node != "" {
			t.Subresource = "binding"
			_, _ = n.c.Create(ctx, t, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
				Target: corev1.ObjectReference{Kind: "Node", Name: node}}, registry.WriteOptions{})
		}
	case !n.living(p.Spec.NodeName):
	case p.DeletionTimestamp != nil:
		now, uid := int64(0), p.UID
		_, _ = n.c.Delete(ctx, t, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &uid}})
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
	case p.Status.Phase != corev1.PodRunning:
		t.Subresource = "status"
		_, _ = n.c.Update(ctx, t, n.running(p), registry.WriteOptions{FieldManager: "node"})
	}
}

// pick is the next node's turn, unless the pod names its own.
func (n *nodes) pick(p *corev1.Pod) string {
	if at := pinnedTo(p); at != "" {
		if !n.living(at) {
			return ""
		}
		return at
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.alive) == 0 {
		return ""
	}
	n.next++
	return n.alive[n.next%len(n.alive)]
}

// pinnedTo is the node that a pod of a DaemonSet names.
func pinnedTo(p *corev1.Pod) string {
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil || p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, q := range term.MatchFields {
			if q.Key == metav1.ObjectNameField {
				return q.Values[0]
			}
		}
	}
	return ""
}

func (n *nodes) running(p *corev1.Pod) *corev1.Pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	p = p.DeepCopy()
	n.ips++
	p.Status.Phase = corev1.PodRunning
	p.Status.PodIP = fmt.Sprintf("10.244.%d.%d", n.ips/250, n.ips%250+1)
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	ready := corev1.ConditionTrue
	if n.ready != nil && !n.ready(p) {
		ready = corev1.ConditionFalse
	}
	now := metav1.NewTime(n.c.clock.Now())
	p.Status.StartTime = &now
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready, LastTransitionTime: now})
	return p
}

// heartbeat renews the leases of the living nodes.
func (n *nodes) heartbeat(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		n.mu.Lock()
		alive := append([]string(nil), n.alive...)
		n.mu.Unlock()
		for _, name := range alive {
			n.renew(ctx, name)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *nodes) renew(ctx context.Context, name string) {
	t := registry.Target{Resource: coordinationv1.SchemeGroupVersion.WithResource("leases"), Namespace: corev1.NamespaceNodeLease, Name: name}
	now, seconds := metav1.NewMicroTime(n.c.clock.Now()), int32(40)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: name},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now}}
	renewed := fmt.Appendf(nil, `{"spec":{"renewTime":%q}}`, now.Format(metav1.RFC3339Micro))
	if _, err := n.c.Patch(ctx, t, types.MergePatchType, renewed, registry.WriteOptions{}); err != nil {
		t.Name = ""
		_, _ = n.c.Create(ctx, t, lease, registry.WriteOptions{}) // the next beat tries again
	}
}
