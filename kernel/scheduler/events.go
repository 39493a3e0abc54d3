package scheduler

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/scheduler/cache"
	"github.com/pintle-io/pintle/kernel/scheduler/queue"
)

// Each state of a node or pod that the registry tells goes either to the cache,
// when it counts, or to the queue, when it waits; what it changes in the cache
// is an event for those that wait.

// putNode stores a node's new state.
func (c *cycle) putNode(n *corev1.Node, now time.Time) { c.queue.Event(c.cache.PutNode(n), now) }

// deleteNode forgets a node.
func (c *cycle) deleteNode(name string) { c.cache.RemoveNode(name) }

// putPod stores a pod's new state.
func (c *cycle) putPod(o *corev1.Pod, now time.Time) {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	waits, counts := c.queue.Get(key), c.cache.Get(key)
	if waits != nil && waits.UID != o.UID || counts != nil && counts.UID() != o.UID {
		c.deletePod(key, now) // another pod of that name
		waits, counts = nil, nil
	}
	switch {
	case terminal(o):
		c.deletePod(key, now)
	case o.Spec.NodeName != "":
		if waits != nil {
			c.queue.Remove(waits)
		}
		c.queue.Event(c.cache.PutPod(o), now)
	case !c.ours(o.Spec.SchedulerName):
	case counts != nil: // a state from before the binding
	case o.DeletionTimestamp != nil || len(o.Spec.SchedulingGates) > 0:
		c.deletePod(key, now)
	default:
		c.putWaiting(waits, key, o)
	}
}

// terminal tells whether the pod has finished and uses nothing any more.
func terminal(o *corev1.Pod) bool {
	return o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed
}

// putWaiting queues a pod, or updates its spec.
func (c *cycle) putWaiting(p *queue.Pod, key types.NamespacedName, o *corev1.Pod) {
	if p == nil {
		p = &queue.Pod{Key: key, UID: o.UID}
	}
	old := p.Object
	p.Object = o
	if old != nil && maps.Equal(old.Labels, o.Labels) && maps.Equal(old.Annotations, o.Annotations) &&
		equality.Semantic.DeepEqual(&old.Spec, &o.Spec) {
		return // only its status changed
	}
	p.Usage = cache.UsageOf(o)
	p.Priority = cache.PriorityOf(o)
	c.queue.Add(p)
}

// deletePod forgets a pod and frees what it used.
func (c *cycle) deletePod(key types.NamespacedName, now time.Time) {
	if p := c.queue.Get(key); p != nil {
		c.queue.Remove(p)
	}
	c.queue.Event(c.cache.RemovePod(key), now)
}

// replaceNodes stores all nodes anew.
func (c *cycle) replaceNodes(list []*corev1.Node, now time.Time) {
	present := map[string]bool{}
	for _, n := range list {
		present[n.Name] = true
	}
	for row := c.cache.Table().Rows() - 1; row >= 0; row-- {
		if name := c.cache.Table().Node(row).Name; !present[name] {
			c.deleteNode(name)
		}
	}
	for _, n := range list {
		c.putNode(n, now)
	}
}

// replacePods stores all pods anew.
func (c *cycle) replacePods(list []*corev1.Pod, now time.Time) {
	present := map[types.NamespacedName]bool{}
	for _, o := range list {
		present[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = true
	}
	for _, keys := range [][]types.NamespacedName{c.queue.Keys(), c.cache.Keys()} {
		for _, key := range keys {
			if !present[key] {
				c.deletePod(key, now)
			}
		}
	}
	for _, o := range list {
		c.putPod(o, now)
	}
}
