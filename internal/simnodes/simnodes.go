// Package simnodes stands in for the agents of many nodes: it creates Node
// objects, keeps their leases, reports pods that are bound to them as running
// and confirms their deletion, in batches and without any container. It serves
// benchmarks and tests of a control plane.
//
// What it leaves out: probes, restarts, resource use, exec and logs. A pod
// runs until it is deleted.
package simnodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/kernel/registry"
)

// Config of simulated nodes.
type Config struct {
	Registry registry.Registry
	// Count of nodes, named sim-00000 and up unless Name says otherwise.
	Count int
	Name  func(i int) string
	// Prepare may change the i-th node before it is created: labels, taints,
	// allocatable.
	Prepare func(i int, n *corev1.Node)
	// LeaseInterval is how often each node renews its lease; 0 is 10 s,
	// negative leaves leases out.
	LeaseInterval time.Duration
	Clock         clock.Clock  // nil is the real clock
	Log           *slog.Logger // nil discards
}

// Nodes are simulated nodes.
type Nodes struct {
	cfg   Config
	names map[string]bool
}

var (
	nodeResource      = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	podResource       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	namespaceResource = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	leaseResource     = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)

// batchSize is how many writes go into one batch.
const batchSize = 256

// New prepares simulated nodes.
func New(cfg Config) *Nodes {
	if cfg.Name == nil {
		cfg.Name = func(i int) string { return fmt.Sprintf("sim-%05d", i) }
	}
	if cfg.LeaseInterval == 0 {
		cfg.LeaseInterval = 10 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Nodes{cfg: cfg, names: make(map[string]bool, cfg.Count)}
	for i := range cfg.Count {
		n.names[cfg.Name(i)] = true
	}
	return n
}

// Create writes the Node objects and their leases. Nodes that exist are left
// as they are.
func (n *Nodes) Create(ctx context.Context) error {
	var items []registry.BatchItem
	for i := range n.cfg.Count {
		items = append(items, registry.BatchItem{Verb: "create", Target: registry.Target{Resource: nodeResource}, Object: n.node(i)})
	}
	if err := n.batch(ctx, items); err != nil {
		return fmt.Errorf("create nodes: %w", err)
	}
	if n.cfg.LeaseInterval < 0 {
		return nil
	}
	ns := &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: corev1.NamespaceNodeLease}}
	_, err := n.cfg.Registry.Create(ctx, registry.Target{Resource: namespaceResource}, ns, registry.WriteOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace: %w", err)
	}
	items = items[:0]
	for i := range n.cfg.Count {
		items = append(items, registry.BatchItem{Verb: "create", Target: leaseTarget(""), Object: n.lease(i)})
	}
	if err := n.batch(ctx, items); err != nil {
		return fmt.Errorf("create leases: %w", err)
	}
	return nil
}

// Run keeps leases and pods going until ctx ends.
func (n *Nodes) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.runPods(ctx) })
	if n.cfg.LeaseInterval > 0 && n.cfg.Count > 0 {
		g.Go(func() error { return n.renew(ctx) })
	}
	return g.Wait()
}

func (n *Nodes) node(i int) *corev1.Node {
	name, now := n.cfg.Name(i), metav1.NewTime(n.cfg.Clock.Now())
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"), corev1.ResourcePods: resource.MustParse("110"),
	}
	o := &corev1.Node{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelHostname: name, corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
			corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3),
		}},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room.DeepCopy(),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Simulated",
				LastHeartbeatTime: now, LastTransitionTime: now}},
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: version.Kubernetes + "-simulated", OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
	if n.cfg.Prepare != nil {
		n.cfg.Prepare(i, o)
	}
	return o
}

func leaseTarget(name string) registry.Target {
	return registry.Target{Resource: leaseResource, Namespace: corev1.NamespaceNodeLease, Name: name}
}

func (n *Nodes) lease(i int) *coordinationv1.Lease {
	name, seconds := n.cfg.Name(i), int32(40)
	now := metav1.NewMicroTime(n.cfg.Clock.Now())
	return &coordinationv1.Lease{
		TypeMeta:   metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
}

// renew renews all leases once per interval, in batches spread over it.
func (n *Nodes) renew(ctx context.Context) error {
	batches := (n.cfg.Count + batchSize - 1) / batchSize
	tick := n.cfg.Clock.NewTimer(0)
	defer tick.Stop()
	for k := 0; ; k = (k + 1) % batches {
		tick.Reset(n.cfg.LeaseInterval / time.Duration(batches))
		select {
		case <-tick.C():
		case <-ctx.Done():
			return nil
		}
		var items []registry.BatchItem
		for i := k * batchSize; i < min((k+1)*batchSize, n.cfg.Count); i++ {
			items = append(items, registry.BatchItem{Verb: "update", Target: leaseTarget(n.cfg.Name(i)), Object: n.lease(i)})
		}
		if err := n.batch(ctx, items); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("renew leases", "error", err)
		}
	}
}

// batch writes items in batches. An object that exists already is no error.
func (n *Nodes) batch(ctx context.Context, items []registry.BatchItem) error {
	for len(items) > 0 {
		part := items[:min(len(items), batchSize)]
		items = items[len(part):]
		results, err := n.cfg.Registry.Batch(ctx, part, false)
		if err != nil {
			return err
		}
		var errs []error
		for _, r := range results {
			if r.Err != nil && !apierrors.IsAlreadyExists(r.Err) {
				errs = append(errs, r.Err)
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}
