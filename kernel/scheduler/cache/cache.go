// Package cache is the scheduler's picture of the cluster: the nodes as columns
// (sdk/wire/columns) and the pods that count on them, which are columns too while
// a plugin reads them, kept in step with the
// registry's events and ahead of them by the pods that were assumed (decided
// here and not yet seen from the registry). It does no I/O and starts no
// goroutine, and it does not know which pods wait: its methods answer with the
// events that may help those.
//
// A Cache is used by one goroutine.
package cache

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/scheduler/index"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Pod is a pod that counts on a node.
type Pod struct {
	columns.Pod // what plugins can see of it
	name        string
	uid         types.UID
	node        string
	// assumed: not yet seen from the registry on this node.
	assumed bool
}

func (p *Pod) key() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.name}
}

// counted is what indexes look at.
func (p *Pod) counted() index.Pod {
	return index.Pod{Namespace: p.Namespace, Labels: p.Labels, Terminating: p.Terminating}
}

// UID of the pod.
func (p *Pod) UID() types.UID { return p.uid }

// Cache holds the picture. Make one with New.
type Cache struct {
	table *columns.Table
	pods  map[types.NamespacedName]*Pod
	// onNode are the pods counted on each node, also for nodes not known yet.
	onNode  map[string]map[*Pod]struct{}
	indexes *index.Set
}

// New returns an empty cache.
func New() *Cache {
	c := &Cache{table: columns.NewTable(), pods: map[types.NamespacedName]*Pod{}, onNode: map[string]map[*Pod]struct{}{}}
	c.indexes = index.NewSet(c.table, func(yield func(string, index.Pod)) {
		for _, p := range c.pods {
			if p.node != "" {
				yield(p.node, p.counted())
			}
		}
	})
	c.table.Pods().Keep(func(yield func(string, *columns.Pod)) {
		for node, set := range c.onNode {
			for p := range set {
				yield(node, &p.Pod)
			}
		}
	})
	return c
}

// Indexes are the counts of pods that plugins asked for.
func (c *Cache) Indexes() *index.Set { return c.indexes }

// Table is the nodes as columns. Only the cache changes it.
func (c *Cache) Table() *columns.Table { return c.table }

// PutNode stores a node's new state and tells what changed.
func (c *Cache) PutNode(n *corev1.Node) schedule.ClusterEvent {
	state := nodeOf(n)
	if row, known := c.table.Row(n.Name); known {
		events, same := nodeChange(c.table.Node(row), &state)
		if !same {
			c.table.Put(state)
		}
		return events
	}
	row := c.table.Put(state)
	for p := range c.onNode[n.Name] {
		c.table.Assign(row, &p.Pod)
	}
	return schedule.NodeAdded
}

// RemoveNode forgets a node. Its pods stay counted for when it comes back.
func (c *Cache) RemoveNode(name string) { c.table.Remove(name) }

// Get returns the pod that counts under a key; nil when none does.
func (c *Cache) Get(key types.NamespacedName) *Pod { return c.pods[key] }

// Keys lists the keys of all pods that count.
func (c *Cache) Keys() []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(c.pods))
	for k := range c.pods {
		keys = append(keys, k)
	}
	return keys
}

// PutPod counts a pod on the node that its spec names, or confirms that it was
// assumed there. It tells what that means for those that wait.
func (c *Cache) PutPod(o *corev1.Pod) schedule.ClusterEvent {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	p := c.pods[key]
	if p == nil {
		p = &Pod{name: o.Name, uid: o.UID}
		c.pods[key] = p
	}
	p.assumed = false
	now := podOf(o, UsageOf(o))
	same := p.node == o.Spec.NodeName && equalCounted(&p.Pod, &now)
	if same && (equalInColumns(&p.Pod, &now) || !c.table.Pods().Kept()) {
		p.Started, p.Priority, p.NeverPreempts = now.Started, now.Priority, now.NeverPreempts
		return 0
	}
	was := p.node
	c.uncount(p)
	p.Pod = now
	c.count(p, o.Spec.NodeName)
	if same { // nothing that another pod waits for
		return 0
	}
	return podEvent(was, o.Spec.NodeName)
}

// podEvent tells what a pod's new state means for those that wait: was is the
// node on which it counted. One that turns out to be elsewhere than assumed
// leaves a node as if it were deleted there.
func podEvent(was, now string) schedule.ClusterEvent {
	switch was {
	case "":
		return schedule.PodAdded
	case now:
		return schedule.PodChanged
	}
	return schedule.PodDeleted | schedule.PodAdded
}

// RemovePod forgets a pod and frees what it used.
func (c *Cache) RemovePod(key types.NamespacedName) schedule.ClusterEvent {
	p := c.pods[key]
	if p == nil {
		return 0
	}
	delete(c.pods, key)
	c.uncount(p)
	return schedule.PodDeleted
}

// Assume counts a pod on the node that was chosen for it, before the registry
// says so. Forget undoes it.
func (c *Cache) Assume(o *corev1.Pod, u *columns.Usage, node string) *Pod {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	p := &Pod{Pod: podOf(o, *u), name: o.Name, uid: o.UID, assumed: true}
	c.pods[key] = p
	c.count(p, node)
	return p
}

// Forget undoes Assume. It does nothing and answers false when the pod is gone
// meanwhile, or was seen on a node.
func (c *Cache) Forget(p *Pod) (schedule.ClusterEvent, bool) {
	if c.pods[p.key()] != p || !p.assumed {
		return 0, false
	}
	return c.RemovePod(p.key()), true
}

func (c *Cache) count(p *Pod, node string) {
	p.node = node
	set := c.onNode[node]
	if set == nil {
		set = map[*Pod]struct{}{}
		c.onNode[node] = set
	}
	set[p] = struct{}{}
	c.indexes.Count(node, p.counted(), 1)
	if row, ok := c.table.Row(node); ok {
		c.table.Assign(row, &p.Pod)
	}
}

func (c *Cache) uncount(p *Pod) {
	if p.node == "" {
		return
	}
	set := c.onNode[p.node]
	delete(set, p)
	if len(set) == 0 {
		delete(c.onNode, p.node)
	}
	c.indexes.Count(p.node, p.counted(), -1)
	if row, ok := c.table.Row(p.node); ok {
		c.table.Unassign(row, &p.Pod)
	}
	p.node = ""
}
