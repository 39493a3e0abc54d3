// Package nodes stands in for a scheduler and for the agents of many nodes, as
// a client of any server: it creates Node objects, binds pods to them, reports
// them as running, those that are to end as succeeded, and confirms deletions.
// There are no containers and no heartbeats.
//
// It sends the same requests to whatever server it acts on: one for each step
// of a pod, as a scheduler and a kubelet do, many at a time.
package nodes

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// SchedulerName is what pods name in spec.schedulerName so that nobody else
// binds them.
const SchedulerName = "simulated"

// workers are requests at a time.
const workers = 64

// Nodes are simulated nodes.
type Nodes struct {
	client kubernetes.Interface
	count  int
	next   atomic.Int64 // of the nodes, for pods that name none
	steps  atomic.Int64 // steps of pods that were made

	mu     sync.Mutex
	done   map[types.UID]step // the last step of each pod; guarded by mu
	todo   []task             // guarded by mu
	waken  chan struct{}      // has room for one
	failed error              // the first failure; guarded by mu
	broken chan struct{}      // closed with it
}

type task struct {
	step step
	pod  *corev1.Pod // shared with the informer: read only
}

// New prepares count simulated nodes.
func New(c kubernetes.Interface, count int) *Nodes {
	return &Nodes{client: c, count: count, done: map[types.UID]step{}, waken: make(chan struct{}, 1), broken: make(chan struct{})}
}

// Name of the i-th node.
func Name(i int) string { return fmt.Sprintf("sim-%05d", i) }

// Create writes the Node objects.
func (n *Nodes) Create(ctx context.Context) error {
	return Each(ctx, n.count, func(ctx context.Context, i int) error {
		_, err := n.client.CoreV1().Nodes().Create(ctx, node(i), metav1.CreateOptions{})
		return err
	})
}

// Each calls f for 0 to count-1, many at a time, until one fails.
func Each(ctx context.Context, count int, f func(context.Context, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for i := range count {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

// Run acts on pods until ctx ends, or until a request fails for a reason that
// is no lost race.
func (n *Nodes) Run(ctx context.Context) error {
	lw := cache.NewListWatchFromClient(n.client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.Everything())
	informer := cache.NewSharedInformer(lw, &corev1.Pod{}, 0)
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { n.see(o) },
		UpdateFunc: func(_, o any) { n.see(o) },
		DeleteFunc: func(o any) { n.forget(o) },
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { informer.RunWithContext(ctx); return nil })
	for range workers {
		g.Go(func() error { n.work(ctx); return nil })
	}
	select {
	case <-ctx.Done():
	case <-n.broken:
	}
	cancel()
	if err := g.Wait(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

// Steps are how many steps of pods were made.
func (n *Nodes) Steps() int64 { return n.steps.Load() }

func (n *Nodes) see(o any) {
	p, ok := o.(*corev1.Pod)
	if !ok || p.Spec.SchedulerName != SchedulerName {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := next(p)
	if s <= n.done[p.UID] {
		return
	}
	n.done[p.UID] = s
	n.todo = append(n.todo, task{s, p})
	n.wake()
}

func (n *Nodes) forget(o any) {
	if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = d.Obj
	}
	if p, ok := o.(*corev1.Pod); ok {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.done, p.UID)
	}
}

func (n *Nodes) wake() {
	select {
	case n.waken <- struct{}{}:
	default:
	}
}

// work makes steps until ctx ends.
func (n *Nodes) work(ctx context.Context) {
	for {
		t, ok := n.take()
		if !ok {
			select {
			case <-n.waken:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := n.do(ctx, t); err == nil {
			n.steps.Add(1)
		} else if ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			n.fail(fmt.Errorf("%s pod %s/%s: %w", t.step, t.pod.Namespace, t.pod.Name, err))
		}
	}
}

// take answers the next task, and wakes another worker when there are more.
func (n *Nodes) take() (task, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.todo) == 0 {
		return task{}, false
	}
	t := n.todo[0]
	n.todo[0] = task{}
	n.todo = n.todo[1:]
	if len(n.todo) > 0 {
		n.wake()
	}
	return t, true
}

func (n *Nodes) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed == nil {
		n.failed = err
		close(n.broken)
	}
}

func node(i int) *corev1.Node {
	now := metav1.Now()
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: Name(i), Labels: map[string]string{
			corev1.LabelHostname: Name(i), corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
		}},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room.DeepCopy(),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Simulated",
				LastHeartbeatTime: now, LastTransitionTime: now}},
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.37.2-simulated", OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
}
