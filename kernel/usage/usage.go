// Package usage makes the objects of metrics.k8s.io: what nodes and pods use, as
// their agents' summaries tell it. Agents are asked when a client asks; what they
// said is kept for a moment, and two minutes to measure the time of processors by.
// Nothing is asked, and nothing kept, of a cluster where nobody looks.
//
// Begin at New. Everything here is safe for concurrent use.
package usage

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// The resources whose objects a Usage makes.
var (
	NodeMetrics = schema.GroupResource{Group: v1beta1.GroupName, Resource: "nodes"}
	PodMetrics  = schema.GroupResource{Group: v1beta1.GroupName, Resource: "pods"}
)

var (
	nodes = schema.GroupResource{Resource: "nodes"}
	pods  = schema.GroupResource{Resource: "pods"}
)

const (
	// fresh is how long an answer of an agent stands for the next one: half of what
	// metrics-server asks in.
	fresh = 7 * time.Second
	// kept is how long an answer is good to measure from.
	kept = 2 * time.Minute
	// between is the shortest time to measure over.
	between = time.Second
	// patience is how long all agents together may take: who has not answered by
	// then is left out.
	patience = 20 * time.Second
	// atOnce bounds the agents that are asked at the same time.
	atOnce = 32
)

// Config is what a Usage asks.
type Config struct {
	// Reader has the nodes and the pods.
	Reader resource.Reader
	// Agent finds the agent of a node.
	Agent func(ctx context.Context, node string) (*resource.Target, error)
	// TLS authenticates the server to agents; RootCAs verifies theirs.
	TLS  *tls.Config
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Between is the shortest time to measure over; 0 means a second.
	Between time.Duration
	Log     *slog.Logger // nil discards
}

// Usage answers what is used.
type Usage struct {
	c     Config
	slots chan struct{}

	mu     sync.Mutex
	agents map[string]*agent // by node; guarded by mu
	idle   *time.Timer       // forgets them; guarded by mu
}

// New makes a Usage. It starts nothing.
func New(c Config) *Usage {
	if c.Between == 0 {
		c.Between = between
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Usage{c: c, slots: make(chan struct{}, atOnce), agents: map[string]*agent{}}
}

// Nodes makes the NodeMetrics that t names, all of them if it names none. Of a node
// whose agent does not answer there is none.
func (u *Usage) Nodes(ctx context.Context, t registry.Target) ([]runtime.Object, error) {
	list, err := u.c.Reader.List(ctx, nodes, "")
	if err != nil {
		return nil, err
	}
	of := map[string]*corev1.Node{}
	for _, obj := range list {
		if n, ok := obj.(*corev1.Node); ok && (t.Name == "" || t.Name == n.Name) {
			of[n.Name] = n
		}
	}
	var out []runtime.Object
	for name, p := range ask(ctx, u, of) {
		if m := p.nodeMetrics(of[name]); m != nil {
			out = append(out, m)
		}
	}
	return out, ctx.Err()
}

// Pods makes the PodMetrics that t names: one, those of a namespace, or all.
func (u *Usage) Pods(ctx context.Context, t registry.Target) ([]runtime.Object, error) {
	wanted, err := u.pods(ctx, t)
	if err != nil {
		return nil, err
	}
	of := map[string][]*corev1.Pod{}
	for _, p := range wanted {
		if p.Spec.NodeName != "" && p.Status.Phase == corev1.PodRunning {
			of[p.Spec.NodeName] = append(of[p.Spec.NodeName], p)
		}
	}
	var out []runtime.Object
	for name, pair := range ask(ctx, u, of) {
		for _, p := range of[name] {
			if m := pair.podMetrics(p); m != nil {
				out = append(out, m)
			}
		}
	}
	return out, ctx.Err()
}

func (u *Usage) pods(ctx context.Context, t registry.Target) ([]*corev1.Pod, error) {
	var list []runtime.Object
	var err error
	if t.Name != "" {
		var obj runtime.Object
		obj, err = u.c.Reader.Get(ctx, pods, t.Namespace, t.Name)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		list = []runtime.Object{obj}
	} else {
		list, err = u.c.Reader.List(ctx, pods, t.Namespace)
	}
	if err != nil {
		return nil, err
	}
	out := make([]*corev1.Pod, 0, len(list))
	for _, obj := range list {
		if p, ok := obj.(*corev1.Pod); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// agent is what is known of a node's.
type agent struct {
	turn chan struct{} // holds a token while somebody asks
	pair
	tried  time.Time
	failed error // the last try
}

// ask asks the agents of nodes, those that have not just been asked.
func ask[T any](ctx context.Context, u *Usage, of map[string]T) map[string]pair {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := make(map[string]pair, len(of))
	for name := range of {
		a := u.agent(name)
		wg.Go(func() {
			p, err := u.measure(ctx, name, a)
			if err != nil {
				u.c.Log.Debug("a node does not tell what it uses", "node", name, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = p
		})
	}
	wg.Wait()
	return out
}

func (u *Usage) agent(name string) *agent {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.idle == nil {
		u.idle = time.AfterFunc(kept, u.forget)
	} else {
		u.idle.Reset(kept)
	}
	a := u.agents[name]
	if a == nil {
		a = &agent{turn: make(chan struct{}, 1)}
		u.agents[name] = a
	}
	return a
}

// forget drops everything, two minutes after the last question.
func (u *Usage) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.agents)
}

// measure returns two answers of an agent, the newer one fresh.
func (u *Usage) measure(ctx context.Context, name string, a *agent) (pair, error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return pair{}, ctx.Err()
	}
	if time.Since(a.tried) < fresh {
		return a.pair, a.failed
	}
	err := u.renew(ctx, name, a)
	if ctx.Err() == nil { // else it says nothing of the agent
		a.tried, a.failed = time.Now(), err
	}
	return a.pair, err
}

func (u *Usage) renew(ctx context.Context, name string, a *agent) error {
	s, err := u.fetch(ctx, name)
	if err != nil {
		return err
	}
	from := a.to
	if from == nil || s.taken.Sub(from.taken) > kept {
		select {
		case <-time.After(u.c.Between):
		case <-ctx.Done():
			return ctx.Err()
		}
		from = s
		if s, err = u.fetch(ctx, name); err != nil {
			return err
		}
	}
	a.pair = pair{from, s}
	return nil
}
