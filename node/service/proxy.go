package service

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/backoff"
)

// Table is what a Proxy writes services to: an [lb.Table].
type Table interface {
	Upsert(lb.Service) error
	Delete(key string) error
	Replace([]lb.Service) error
	Reload() error
}

// Sockets are what is to be translated by the table: an [lb.Sockets].
type Sockets interface {
	Attach() error
	// Stale reports whether a predecessor's programs still serve, from maps
	// that are not the table's; Attach ends that.
	Stale() bool
}

// Config is what a Proxy is made from.
type Config struct {
	Catalog *Catalog
	Table   Table
	Sockets Sockets
	// Node is this node's name; Zone its topology.kubernetes.io/zone, or empty.
	Node, Zone string
	// Static services stand from the first moment and win over Services of the
	// API that want the same frontends: cluster DNS served by this node, the API
	// server's own address.
	Static []lb.Service
	// Metrics is where metrics are registered; nil means nowhere.
	Metrics prometheus.Registerer
	Log     *slog.Logger // nil discards
	Clock   clock.Clock  // nil means the real one
}

// Pauses after the balancer, or the kernel, refused a change.
const (
	retryAfter   = time.Second
	retryLongest = 15 * time.Second
)

// A Proxy keeps the balancer in step with the cluster.
type Proxy struct {
	cfg     Config
	metrics *metrics
	wake    chan struct{}
	ready   chan struct{}

	dirtyMu sync.Mutex
	dirty   map[types.NamespacedName]time.Time // since when; guarded by dirtyMu

	mu       sync.Mutex                        // held while computing and writing
	rules    Rules                             // Draining guarded by mu
	written  map[types.NamespacedName][]string // keys in the balancer; guarded by mu
	hosts    map[string][]lb.Service           // host ports by owner; guarded by mu
	complete bool                              // the balancer holds everything; guarded by mu
}

// New returns a Proxy that does nothing until Run.
func New(cfg Config) *Proxy {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	p := &Proxy{
		cfg:     cfg,
		metrics: newMetrics(cfg.Metrics),
		wake:    make(chan struct{}, 1),
		ready:   make(chan struct{}),
		dirty:   map[types.NamespacedName]time.Time{},
		written: map[types.NamespacedName][]string{},
		hosts:   map[string][]lb.Service{},
		rules:   Rules{Node: cfg.Node, Zone: cfg.Zone, Draining: map[netip.Addr]bool{}, Reserved: map[lb.Frontend]bool{}},
	}
	for _, s := range cfg.Static {
		for _, f := range s.Frontends {
			p.rules.Reserved[f] = true
		}
	}
	cfg.Catalog.Subscribe(p.mark)
	return p
}

// Ready is closed when the balancer holds the whole cluster and is attached.
func (p *Proxy) Ready() <-chan struct{} { return p.ready }

func (p *Proxy) mark(name types.NamespacedName) {
	p.dirtyMu.Lock()
	if _, ok := p.dirty[name]; !ok {
		p.dirty[name] = p.cfg.Clock.Now()
	}
	p.dirtyMu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Proxy) takeDirty() map[types.NamespacedName]time.Time {
	p.dirtyMu.Lock()
	defer p.dirtyMu.Unlock()
	d := p.dirty
	p.dirty = map[types.NamespacedName]time.Time{}
	return d
}

// Run keeps the balancer in step until ctx ends. The balancer stays as it is
// then: what is pinned goes on. What the balancer refuses is logged and tried
// again from scratch.
//
// Static services are served before the API is heard of, so that DNS and the
// API server are reachable on a node that starts alone, unless a predecessor
// left something: then nothing is removed before the API says so.
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.startStatic(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.cfg.Catalog.Synced():
	}
	announced := false
	retry := backoff.New(retryAfter, retryLongest)
	for {
		err := p.step()
		if err == nil && !announced {
			close(p.ready)
			announced = true
			p.cfg.Log.Info("services are balanced", "services", p.count())
		}
		var again <-chan time.Time
		if err != nil {
			again = p.cfg.Clock.After(retry.Failed(p.cfg.Log, "services are not balanced", err))
		} else {
			retry.Succeeded(p.cfg.Log)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.wake:
			if again != nil { // the balancer is ill: no faster than the retries
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-again:
				}
			}
		case <-again:
		}
	}
}

func (p *Proxy) startStatic() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.cfg.Static {
		if err := p.cfg.Table.Upsert(s); err != nil {
			return err
		}
	}
	if p.cfg.Sockets.Stale() {
		return nil // the old ones know more, until writeAll
	}
	return p.cfg.Sockets.Attach()
}

// step writes what changed, or everything if the last step failed.
func (p *Proxy) step() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.takeDirty()
	if !p.complete {
		return p.writeAll()
	}
	for name := range since {
		if err := p.write(name); err != nil {
			p.complete = false
			p.metrics.failed.Inc()
			return err
		}
	}
	now := p.cfg.Clock.Now()
	for _, t := range since {
		p.metrics.latency.Observe(now.Sub(t).Seconds())
	}
	return nil
}

// writeAll compares the whole cluster with the kernel's maps. p.mu is held.
func (p *Proxy) writeAll() error {
	start := p.cfg.Clock.Now()
	err := p.cfg.Table.Reload()
	if err == nil {
		all := append([]lb.Service{}, p.cfg.Static...)
		for _, h := range p.hosts {
			all = append(all, h...)
		}
		clear(p.written)
		for _, name := range p.cfg.Catalog.Names() {
			all = append(all, p.desired(name)...)
		}
		err = p.cfg.Table.Replace(all)
	}
	if err == nil {
		err = p.cfg.Sockets.Attach()
	}
	if err != nil {
		p.metrics.failed.Inc()
		return err
	}
	p.complete = true
	p.metrics.full.Observe(p.cfg.Clock.Since(start).Seconds())
	p.metrics.count(p.written)
	return nil
}

// desired computes one service and records its keys. p.mu is held.
func (p *Proxy) desired(name types.NamespacedName) []lb.Service {
	svc, slices := p.cfg.Catalog.Service(name), p.cfg.Catalog.Slices(name)
	p.forgetDrained()
	want := p.rules.Services(svc, slices)
	if len(want) == 0 {
		delete(p.written, name)
		return nil
	}
	keys := make([]string, len(want))
	for i, s := range want {
		keys[i] = s.Key
	}
	p.written[name] = keys
	return want
}

// write brings one service of the balancer up to date. p.mu is held.
func (p *Proxy) write(name types.NamespacedName) error {
	old := p.written[name]
	keep := map[string]bool{}
	var errs []error
	for _, s := range p.desired(name) {
		keep[s.Key] = true
		errs = append(errs, p.cfg.Table.Upsert(s))
	}
	for _, key := range old {
		if !keep[key] {
			errs = append(errs, p.cfg.Table.Delete(key))
		}
	}
	p.metrics.count(p.written)
	return errors.Join(errs...)
}

func (p *Proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.written)
}

var (
	_ Table   = (*lb.Table)(nil)
	_ Sockets = (*lb.Sockets)(nil)
)
