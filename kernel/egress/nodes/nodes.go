// Package nodes finds the node agents by which egress reaches pods. It follows the
// nodes, so that a connection costs no list of them. What a node is, its functions are
// told: ranges and the agent's address are read by whoever knows the kind.
package nodes

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/egress"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

var nodes = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}

// Config of Agents. All fields are required.
type Config struct {
	Reader resource.Reader
	// Agent finds the agent of a node.
	Agent func(ctx context.Context, r resource.Reader, node string) (*resource.Target, error)
	// Ranges are where the addresses of a node's pods are.
	Ranges func(node runtime.Object) []netip.Prefix
}

// Agents finds the agent of the node whose pods have an address. It is safe for
// concurrent use.
type Agents struct {
	c      Config
	ranges egress.Ranges
	synced atomic.Bool // ranges are those of all nodes
}

// New makes Agents. Before [Agents.Run] each question looks through all nodes.
func New(c Config) *Agents { return &Agents{c: c} }

// Of finds the agent of the node whose pods have an address: nil when the address is of
// no node's pods.
//
// # Errors
//   - those of Config.Agent and of the Reader
func (a *Agents) Of(ctx context.Context, ip netip.Addr) (*resource.Target, error) {
	find := a.listed
	if a.synced.Load() {
		find = a.followed
	}
	name, ok, err := find(ctx, ip)
	if err != nil || !ok {
		return nil, err
	}
	return a.c.Agent(ctx, a.c.Reader, name)
}

func (a *Agents) followed(_ context.Context, ip netip.Addr) (name string, ok bool, err error) {
	name, ok = a.ranges.Node(ip)
	return name, ok, nil
}

// listed looks through the nodes, before they are followed.
func (a *Agents) listed(ctx context.Context, ip netip.Addr) (name string, ok bool, err error) {
	all, err := a.c.Reader.List(ctx, nodes.GroupResource(), "")
	if err != nil {
		return "", false, err
	}
	var r egress.Ranges
	for _, obj := range all {
		m, err := meta.Accessor(obj)
		if err != nil {
			return "", false, err
		}
		r.Set(m.GetName(), a.c.Ranges(obj))
	}
	name, ok = r.Node(ip)
	return name, ok, nil
}

// Run follows the nodes until ctx ends.
func (a *Agents) Run(ctx context.Context, from informer.Source, m *informer.Metrics, log *slog.Logger) {
	informer.New(informer.Config{Name: "node-ranges", Registry: from, Handler: a, Metrics: m, Log: log, Target: registry.Target{Resource: nodes}}).Run(ctx)
}

// Replace implements informer.Handler.
func (a *Agents) Replace(_ context.Context, l *registry.List) {
	all := make(map[string][]netip.Prefix, len(l.Items))
	for _, o := range l.Items {
		all[o.Name] = a.c.Ranges(o.Obj)
	}
	a.ranges.Replace(all)
	a.synced.Store(true)
}

// Apply implements informer.Handler.
func (a *Agents) Apply(_ context.Context, events []watch.Event) {
	for _, e := range events {
		if e.Type == watch.Deleted {
			a.ranges.Set(e.Object.Name, nil)
			continue
		}
		a.ranges.Set(e.Object.Name, a.c.Ranges(e.Object.Obj))
	}
}

var _ informer.Handler = (*Agents)(nil)
