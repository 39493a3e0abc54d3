// Package membership makes this machine a node of the cluster: it registers
// the Node object, renews the node's lease, and reports conditions, capacity
// and images. What it reports it is told by its Config; it owns no policy.
package membership

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
)

// Health is how the node is.
type Health struct {
	// Runtime and Network say whether pods can run; Message why not.
	Runtime, Network bool
	Message          string
	// Pressure conditions.
	Memory, Disk, PIDs bool
}

// Config of a Member. Fields without a remark are required.
type Config struct {
	Client kubernetes.Interface
	Name   string
	// Labels are added to those that every node has.
	Labels map[string]string
	// Annotations that the node has; may be nil.
	Annotations map[string]string
	// Taints the node registers with; later changes in the API stay.
	Taints      []corev1.Taint
	Addresses   []corev1.NodeAddress
	Capacity    corev1.ResourceList
	Allocatable corev1.ResourceList
	Info        corev1.NodeSystemInfo
	// DeclaredFeatures are what the agent knows how to do that older ones do not
	// (KEP-5328), in order.
	DeclaredFeatures []string
	Port             int32 // of the kubelet API
	// LeaseDuration is how long the node counts as alive after a renewal; it
	// renews at a quarter of it.
	LeaseDuration time.Duration
	// StatusInterval is how often the node's condition is looked at.
	StatusInterval time.Duration
	// ReportInterval is how often an unchanged status is reported.
	ReportInterval time.Duration
	Health         func(ctx context.Context) Health
	// Images lists the node's images; nil lists none.
	Images func(ctx context.Context) []corev1.ContainerImage
	// Clock is the real one when nil.
	Clock clock.WithTicker
	Log   *slog.Logger
}

// Member keeps the node's membership.
type Member struct {
	cfg  Config
	poke chan struct{}

	mu  sync.Mutex
	uid types.UID // guarded by mu
	at  time.Time // of the last report; guarded by mu
}

// New makes a member. It does nothing before Register.
func New(cfg Config) *Member {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Member{cfg: cfg, poke: make(chan struct{}, 1)}
}

// Register creates the Node, or brings one that exists up to date, and reports
// its status. It tries until it succeeds or ctx ends.
func (m *Member) Register(ctx context.Context) (*corev1.Node, error) {
	retry := backoff.New(100*time.Millisecond, 5*time.Second)
	for {
		node, err := m.register(ctx)
		if err == nil {
			retry.Succeeded(m.cfg.Log, "node", m.cfg.Name)
			m.mu.Lock()
			m.uid = node.UID
			m.mu.Unlock()
			return node, m.report(ctx)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !m.sleep(ctx, retry.Failed(m.cfg.Log, "node not registered", err, "node", m.cfg.Name)) {
			return nil, ctx.Err()
		}
	}
}

func (m *Member) sleep(ctx context.Context, d time.Duration) bool {
	t := m.cfg.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C():
		return true
	}
}

// labels are those of the API's well-known list, and the configured ones.
func (m *Member) labels() map[string]string {
	out := map[string]string{
		corev1.LabelHostname:   m.cfg.Name,
		corev1.LabelOSStable:   m.cfg.Info.OperatingSystem,
		corev1.LabelArchStable: m.cfg.Info.Architecture,
	}
	for k, v := range m.cfg.Labels {
		out[k] = v
	}
	return out
}

func (m *Member) register(ctx context.Context) (*corev1.Node, error) {
	nodes := m.cfg.Client.CoreV1().Nodes()
	fresh := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: m.cfg.Name, Labels: m.labels(), Annotations: m.cfg.Annotations},
		Spec:       corev1.NodeSpec{Taints: m.cfg.Taints},
		Status:     m.status(ctx, nil),
	}
	node, err := nodes.Create(ctx, fresh, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return node, err
	}
	if node, err = nodes.Get(ctx, m.cfg.Name, metav1.GetOptions{}); err != nil {
		return nil, err
	}
	want := node.DeepCopy()
	want.Labels, want.Annotations = with(want.Labels, m.labels()), with(want.Annotations, m.cfg.Annotations)
	if maps.Equal(node.Labels, want.Labels) && maps.Equal(node.Annotations, want.Annotations) {
		return node, nil
	}
	patch, err := merge(node, want)
	if err != nil {
		return nil, err
	}
	return nodes.Patch(ctx, m.cfg.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
}

// with is a map with more in it.
func with(m, more map[string]string) map[string]string {
	if m == nil {
		m = make(map[string]string, len(more))
	}
	maps.Copy(m, more)
	return m
}

func merge(before, after *corev1.Node) ([]byte, error) {
	a, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(after)
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateTwoWayMergePatch(a, b, corev1.Node{})
}

// Poke makes Run look at the node's condition at once.
func (m *Member) Poke() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// Run renews the lease and reports the status until ctx ends. Register comes
// first.
func (m *Member) Run(ctx context.Context) error {
	var group sync.WaitGroup
	group.Go(func() { m.keepLease(ctx) })
	defer group.Wait()
	retry := backoff.New(m.cfg.StatusInterval, m.cfg.StatusInterval)
	for {
		t := m.cfg.Clock.NewTimer(m.cfg.StatusInterval)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-m.poke:
		case <-t.C():
		}
		t.Stop()
		if err := m.report(ctx); err == nil {
			retry.Succeeded(m.cfg.Log, "node", m.cfg.Name)
		} else if ctx.Err() == nil {
			retry.Failed(m.cfg.Log, "node status not reported", err, "node", m.cfg.Name)
			if apierrors.IsNotFound(err) { // somebody deleted the Node
				if _, err := m.Register(ctx); err != nil && ctx.Err() == nil {
					m.cfg.Log.Warn("node not registered again", "error", err)
				}
			}
			m.mu.Lock()
			m.at = time.Time{}
			m.mu.Unlock()
		}
	}
}

// report writes the status if it changed, or is due.
func (m *Member) report(ctx context.Context) error {
	m.mu.Lock()
	at := m.at
	m.mu.Unlock()
	// What the API shows counts, not what was reported last: while the node
	// was cut off somebody marked it as lost.
	seen, err := m.cfg.Client.CoreV1().Nodes().Get(ctx, m.cfg.Name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("get node: %w", err)
	}
	old := &seen.Status
	next := m.status(ctx, old)
	now := m.cfg.Clock.Now()
	if now.Sub(at) < m.cfg.ReportInterval && sameBut(old, &next) {
		return nil
	}
	patch, err := merge(&corev1.Node{Status: *old}, &corev1.Node{Status: next})
	if err != nil {
		return fmt.Errorf("encode node status: %w", err)
	}
	if _, err := m.cfg.Client.CoreV1().Nodes().Patch(ctx, m.cfg.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("patch node status: %w", err)
	}
	m.mu.Lock()
	m.at = now
	m.mu.Unlock()
	return nil
}

// sameBut compares statuses without the times of their heartbeats.
func sameBut(a, b *corev1.NodeStatus) bool {
	strip := func(s *corev1.NodeStatus) *corev1.NodeStatus {
		s = s.DeepCopy()
		for i := range s.Conditions {
			s.Conditions[i].LastHeartbeatTime = metav1.Time{}
			s.Conditions[i].LastTransitionTime = metav1.Time{}
		}
		return s
	}
	x, err := json.Marshal(strip(a))
	y, err2 := json.Marshal(strip(b))
	return err == nil && err2 == nil && string(x) == string(y)
}
