package scheduler

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// pod is what the scheduler knows of one pod.
type pod struct {
	key   types.NamespacedName
	uid   types.UID
	obj   *corev1.Pod // shared with the cache; nil once bound
	usage columns.Usage
	// node on which the usage is counted, "" for none. assumed: decided here
	// and not yet seen from the registry.
	node    string
	assumed bool

	record   sdk.PodRecord // of a pod without a node
	priority int32

	// The rest belongs to the queue.
	place    place
	index    int
	seq      uint64
	attempts int
	until    time.Time // end of the pause
	parked   time.Time
	events   sdk.Event
	// told is the last FailedScheduling message, toldAt when it was recorded.
	told   string
	toldAt time.Time
}

// cluster is the scheduler's view of nodes and pods, kept in step with the
// registry's events and ahead of them by the pods assumed.
type cluster struct {
	table *columns.Table
	queue *queue
	pods  map[types.NamespacedName]*pod
	// onNode are the pods counted on each node, also for nodes not known yet.
	onNode map[string]map[*pod]struct{}
	// schedulers tells which spec.schedulerName is ours.
	mine func(name string) bool
}

func newCluster(mine func(string) bool) *cluster {
	return &cluster{table: columns.NewTable(), queue: newQueue(), pods: map[types.NamespacedName]*pod{},
		onNode: map[string]map[*pod]struct{}{}, mine: mine}
}

// putNode takes in a node's new state.
func (c *cluster) putNode(n *corev1.Node, now time.Time) {
	state := nodeOf(n)
	row, known := c.table.Row(n.Name)
	if known {
		events, same := nodeChange(c.table.Node(row), &state)
		if !same {
			c.table.Put(state)
		}
		if events != 0 {
			c.queue.wake(events, now)
		}
		return
	}
	row = c.table.Put(state)
	for p := range c.onNode[n.Name] {
		c.table.Use(row, &p.usage, 1)
	}
	c.queue.wake(sdk.NodeAdded, now)
}

// dropNode forgets a node. Its pods stay counted for when it comes back.
func (c *cluster) dropNode(name string) { c.table.Remove(name) }

// putPod takes in a pod's new state.
func (c *cluster) putPod(o *corev1.Pod, now time.Time) {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	p := c.pods[key]
	if p != nil && p.uid != o.UID {
		c.dropPod(key, now)
		p = nil
	}
	if terminal(o) {
		c.dropPod(key, now)
		return
	}
	if o.Spec.NodeName != "" {
		c.bound(p, key, o, now)
		return
	}
	if !c.mine(o.Spec.SchedulerName) {
		return
	}
	if p != nil && p.assumed {
		return // a state from before the binding
	}
	if o.DeletionTimestamp != nil || len(o.Spec.SchedulingGates) > 0 {
		c.dropPod(key, now)
		return
	}
	c.waiting(p, key, o)
}

// terminal tells whether the pod has finished and uses nothing any more.
func terminal(o *corev1.Pod) bool {
	return o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed
}

// bound counts a pod on its node, or confirms that it was assumed there.
func (c *cluster) bound(p *pod, key types.NamespacedName, o *corev1.Pod, now time.Time) {
	if p == nil {
		p = &pod{key: key, uid: o.UID}
		c.pods[key] = p
	}
	c.queue.remove(p)
	u := usageOf(o)
	moved := p.node != o.Spec.NodeName
	if moved || !equalUsage(&u, &p.usage) {
		was := p.node
		c.uncount(p)
		p.usage = u
		c.count(p, o.Spec.NodeName)
		c.queue.wake(eventOf(was, o.Spec.NodeName), now)
	}
	p.assumed, p.obj, p.record, p.told = false, nil, sdk.PodRecord{}, ""
}

// eventOf tells what a pod's new state means for those that wait: was is the
// node on which it counted. One that turns out to be elsewhere than assumed
// leaves a node as if it were deleted there.
func eventOf(was, now string) sdk.Event {
	switch was {
	case "":
		return sdk.PodAdded
	case now:
		return sdk.PodChanged
	}
	return sdk.PodDeleted | sdk.PodAdded
}

// waiting queues a pod, or takes in its new spec.
func (c *cluster) waiting(p *pod, key types.NamespacedName, o *corev1.Pod) {
	if p == nil {
		p = &pod{key: key, uid: o.UID}
		c.pods[key] = p
	}
	old := p.obj
	p.obj = o
	if old != nil && p.place != nowhere && equalLabels(old.Labels, o.Labels) && equalLabels(old.Annotations, o.Annotations) &&
		equality.Semantic.DeepEqual(&old.Spec, &o.Spec) {
		return // only its status changed
	}
	p.usage = usageOf(o)
	p.record = *recordOf(o, &p.usage)
	p.priority = priorityOf(o)
	c.queue.add(p)
}

// dropPod forgets a pod and frees what it used.
func (c *cluster) dropPod(key types.NamespacedName, now time.Time) {
	p := c.pods[key]
	if p == nil {
		return
	}
	delete(c.pods, key)
	c.queue.remove(p)
	if p.node != "" {
		c.uncount(p)
		c.queue.wake(sdk.PodDeleted, now)
	}
}

// assume counts a pod on the node that was chosen for it.
func (c *cluster) assume(p *pod, node string) {
	p.assumed = true
	c.count(p, node)
}

// forget undoes assume. It tells whether the pod is still the one that was
// assumed and waits for a node.
func (c *cluster) forget(p *pod, now time.Time) bool {
	if c.pods[p.key] != p || !p.assumed {
		return false
	}
	p.assumed = false
	c.uncount(p)
	c.queue.wake(sdk.PodDeleted, now)
	return true
}

func (c *cluster) count(p *pod, node string) {
	p.node = node
	set := c.onNode[node]
	if set == nil {
		set = map[*pod]struct{}{}
		c.onNode[node] = set
	}
	set[p] = struct{}{}
	if row, ok := c.table.Row(node); ok {
		c.table.Use(row, &p.usage, 1)
	}
}

func (c *cluster) uncount(p *pod) {
	if p.node == "" {
		return
	}
	set := c.onNode[p.node]
	delete(set, p)
	if len(set) == 0 {
		delete(c.onNode, p.node)
	}
	if row, ok := c.table.Row(p.node); ok {
		c.table.Use(row, &p.usage, -1)
	}
	p.node = ""
}
