package cni

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/cni/bridge"
	"github.com/pintle-io/pintle/node/cni/ipam"
	"github.com/pintle-io/pintle/node/cni/plugin"
	"github.com/pintle-io/pintle/node/cni/routes"
	"github.com/pintle-io/pintle/node/service"
)

// Config is what a Network is made from.
type Config struct {
	// Node is this node's name.
	Node string
	// Nodes follows the cluster's nodes; nil routes to none.
	Nodes cache.SharedIndexInformer
	// DataDir remembers pods' addresses; a directory of this node's own.
	DataDir string
	// ConfDir and BinDir are where the container runtime looks for CNI
	// configurations and plugins.
	ConfDir, BinDir string
	// Executable is the plugin's executable, to be put into BinDir; empty: it
	// is there.
	Executable string
	// Bridge is the name of the pods' bridge; empty means pintle0.
	Bridge string
	// MTU of the pods' devices; 0 means that of the device with NodeIP.
	MTU int
	// NodeIP is the node's internal address.
	NodeIP netip.Addr
	// PodRange is what all nodes' pod ranges are in, ServiceRange that of
	// cluster IPs: packets to them never leave by a default route.
	PodRange, ServiceRange netip.Prefix
	// Masquerade gives packets from pods to the outside the node's address.
	Masquerade bool
	// HostPorts serves pods' host ports; nil: they are refused silently.
	HostPorts HostPorts
	// Version of the CNI configuration; empty means 1.0.0, which every
	// containerd of today reads.
	Version string
	Log     *slog.Logger // nil discards
}

// HostPorts makes ports of the node lead to pods; a [service.Proxy].
type HostPorts interface {
	SetHostPorts(owner string, ports []service.HostPort) error
}

// confName sorts before what distributions install; the runtime takes the first.
const confName = "05-pintle.conflist"

// sweepEvery is how often what is gone is looked for.
const sweepEvery = time.Minute

// A Network is the pod network of one node. Its methods may be called
// concurrently.
type Network struct {
	cfg Config

	mu    sync.Mutex
	pods  netip.Prefix // guarded by mu; invalid: not configured
	ready bool         // guarded by mu
}

// New returns a Network that exists from Configure on.
func New(cfg Config) *Network {
	if cfg.Bridge == "" {
		cfg.Bridge = "pintle0"
	}
	if cfg.Version == "" {
		cfg.Version = "1.0.0"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Network{cfg: cfg}
}

// Configure makes the network for the pods of this range, the node's own. The
// configuration that the runtime reads comes last, when everything else works.
// It is idempotent, and may be called again with another range: pods that have
// addresses keep them.
func (n *Network) Configure(ctx context.Context, pods netip.Prefix) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	pods = pods.Masked()
	if !pods.IsValid() || !pods.Addr().Is4() || pods.Bits() > 30 {
		return fmt.Errorf("pod range %s: want an IPv4 range of at least four addresses", pods)
	}
	n.ready = false
	if err := n.guard(); err != nil {
		return err
	}
	if err := forwarding(); err != nil {
		return err
	}
	mtu, err := n.mtu()
	if err != nil {
		return err
	}
	br, err := bridge.Ensure(n.cfg.Bridge, plugin.Gateway(pods), mtu)
	if err != nil {
		return err
	}
	if err := n.filter(ctx, pods); err != nil {
		return err
	}
	if err := n.newBoot(); err != nil {
		return err
	}
	if err := plugin.Reattach(n.cfg.DataDir, br); err != nil {
		return err
	}
	if err := n.install(); err != nil {
		return err
	}
	if err := n.writeConf(pods, mtu); err != nil {
		return err
	}
	n.pods, n.ready = pods, true
	n.cfg.Log.Info("pod network is up", "bridge", n.cfg.Bridge, "pods", pods, "mtu", mtu)
	return nil
}

// Ready reports whether pods can be given addresses.
func (n *Network) Ready() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready
}

// guard keeps what has no route of its own from leaving by the default one.
// RATIONALE.md: "Why unreachable routes under the service and pod ranges?"
func (n *Network) guard() error {
	var ranges []netip.Prefix
	for _, p := range []netip.Prefix{n.cfg.PodRange, n.cfg.ServiceRange} {
		if p.IsValid() {
			ranges = append(ranges, p)
		}
	}
	return routes.Guard(ranges...)
}

// newBoot forgets addresses from before the machine restarted.
func (n *Network) newBoot() error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	s, err := ipam.Open(n.cfg.DataDir)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.NewBoot(strings.TrimSpace(string(boot)))
	return err
}

// Run routes to other nodes, serves host ports, and repairs what went missing,
// until ctx ends. The network stays then.
func (n *Network) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if n.cfg.Nodes != nil {
		g.Go(func() error { return routes.Follow(ctx, n.cfg.Nodes, n.cfg.Node, n.cfg.Log) })
	}
	if n.cfg.HostPorts != nil {
		g.Go(func() error { return n.followHostPorts(ctx) })
	}
	g.Go(func() error {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		retry := backoff.New(sweepEvery, sweepEvery)
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
				if err := n.Sweep(); err != nil {
					retry.Failed(n.cfg.Log, "the pod network is not repaired", err)
				} else {
					retry.Succeeded(n.cfg.Log)
				}
			}
		}
	})
	return g.Wait()
}

// Sweep makes the bridge again if somebody deleted it, and takes back addresses
// of pods whose network namespace is gone without a word.
func (n *Network) Sweep() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready {
		return nil
	}
	mtu, err := n.mtu()
	if err != nil {
		return err
	}
	br, err := bridge.Ensure(n.cfg.Bridge, plugin.Gateway(n.pods), mtu)
	if err != nil {
		return err
	}
	if err := plugin.Reattach(n.cfg.DataDir, br); err != nil {
		return err
	}
	return plugin.Collect(n.cfg.DataDir, func(r ipam.Record) bool {
		d, err := ipam.ReadDetails(n.cfg.DataDir, r)
		if err != nil || d.Netns == "" {
			return true
		}
		_, err = os.Stat(d.Netns)
		return !errors.Is(err, os.ErrNotExist)
	})
}

// Cleanup takes away everything that a Network of this Config made, whether or
// not this one did: devices of running pods too. It is idempotent.
func (n *Network) Cleanup(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ready = false
	errs := []error{
		remove(filepath.Join(n.cfg.ConfDir, confName)),
		plugin.Collect(n.cfg.DataDir, func(ipam.Record) bool { return false }),
		bridge.Remove(n.cfg.Bridge),
		routes.Remove(),
		os.RemoveAll(n.cfg.DataDir),
	}
	// Whoever cleans up need not know how the network was made.
	errs = append(errs, unfilter(ctx, n.cfg.Bridge))
	if n.cfg.Executable != "" {
		for _, name := range []string{plugin.LoopbackType, plugin.Type} {
			errs = append(errs, remove(filepath.Join(n.cfg.BinDir, name)))
		}
	}
	return errors.Join(errs...)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
