// Package node is the node agent: it makes this machine a node of the cluster
// and runs the pods that are bound to it. New wires the parts, Run runs them:
//
//	containerd   a private container runtime, if none is given
//	cri          the client of the runtime
//	membership   the Node object, its lease and conditions
//	pod          one worker per pod; plan decides, status describes
//	probe, volume, image, source, logs, stream, stats
//	api          the node's own API
//
// The agent may be killed at any moment: pods run on, and the next agent
// continues from what the runtime and the API show. It ends no pod when it
// ends; Cleanup does that.
//
// RATIONALE.md: "Node and network"
package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/containerd"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/informer"
	"github.com/pintle-io/pintle/node/membership"
	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
)

// Implements are the resources whose objects node agents bring about: whoever
// creates one is not told that nobody does.
func Implements() []schema.GroupResource {
	return []schema.GroupResource{{Resource: "pods"}, {Resource: "services"}, {Resource: "persistentvolumes"}, {Resource: "persistentvolumeclaims"}}
}

// Agent is a node agent.
type Agent struct {
	cfg       Config
	client    kubernetes.Interface
	informers *informer.Set
	ready     chan struct{}
	runtime   *cri.Client
}

// New checks the configuration and makes an agent. It touches nothing.
func New(cfg Config) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
		cfg.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if cfg.Client == nil {
		client, err := NewClient(cfg.REST)
		if err != nil {
			return nil, err
		}
		cfg.Client = client
	}
	a := &Agent{cfg: cfg, client: cfg.Client, informers: cfg.Informers, ready: make(chan struct{})}
	if a.informers == nil {
		a.informers = informer.New(cfg.Client, cfg.Name)
	}
	return a, nil
}

// Ready is closed once the node is registered and knows its pods.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// runtimeGrace is what the runtime gets to end what it is making when the agent
// ends, which no context ends (see package cri). A runtime that hangs does not
// keep the agent: the next one finds what was made, as after a kill.
const runtimeGrace = 5 * time.Second

// Run runs the node until ctx ends or a part of it fails for good. Pods and
// the private containerd run on.
func (a *Agent) Run(ctx context.Context) error {
	cgroups, err := a.prepare()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	endpoint, err := a.startRuntime(ctx, group)
	if err != nil {
		return err
	}
	if a.runtime, err = cri.Connect(endpoint); err != nil {
		return err
	}
	defer a.runtime.Close()
	context.AfterFunc(ctx, func() { time.AfterFunc(runtimeGrace, func() { _ = a.runtime.Close() }) })
	version, err := a.runtime.Version(ctx)
	if err != nil {
		return fmt.Errorf("container runtime at %s: %w", endpoint, err)
	}
	about, err := a.describe()
	if err != nil {
		return err
	}
	about.UnifiedCgroups = cgroups.Unified()
	features, err := a.runtime.Features(ctx)
	if err != nil {
		return fmt.Errorf("container runtime at %s: %w", endpoint, err)
	}
	p := a.wire(cgroups, about, version, features)
	ln, err := a.listen()
	if err != nil {
		return err
	}
	group.Go(func() error { return p.run(ctx, ln) })
	return group.Wait()
}

// prepare makes the node's directories and cgroups.
func (a *Agent) prepare() (*cgroup.System, error) {
	if os.Geteuid() != 0 {
		return nil, containerd.ErrNotRoot
	}
	cgroups, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	if err := cgroups.RequireV2(); err != nil {
		return nil, err
	}
	for _, d := range []string{"", "pods", "logs", "seccomp"} {
		if err := os.MkdirAll(a.cfg.dir(d), 0o755); err != nil {
			return nil, fmt.Errorf("node directory: %w", err)
		}
	}
	for _, d := range []string{a.cfg.CNIBin(), a.cfg.CNIConf()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("CNI directory: %w", err)
		}
	}
	if err := mount.Shared(a.cfg.dir("pods")); err != nil {
		return nil, err
	}
	return cgroups, cgroups.Create(a.cfg.podGroup())
}

// startRuntime starts the private containerd unless an endpoint is given.
func (a *Agent) startRuntime(ctx context.Context, group *errgroup.Group) (string, error) {
	if a.cfg.RuntimeEndpoint != "" {
		return a.cfg.RuntimeEndpoint, nil
	}
	server, err := containerd.Start(ctx, a.cfg.containerd())
	if err != nil {
		return "", err
	}
	group.Go(func() error { return server.Run(ctx) })
	return server.Endpoint(), nil
}

// describe collects what translation, volumes and membership need to know.
func (a *Agent) describe() (*podspec.Node, error) {
	ips := a.cfg.IPs
	if len(ips) == 0 {
		ip, ok := membership.Address()
		if !ok {
			return nil, fmt.Errorf("this machine has no address that others can reach; give one")
		}
		ips = []netip.Addr{ip}
	}
	capacity := a.capacity()
	n := &podspec.Node{
		Name: a.cfg.Name, Hostname: hostname(a.cfg.Name), IPs: texts(ips),
		Logs: a.cfg.dir("logs"), Seccomp: a.cfg.dir("seccomp"), Memory: capacity.Memory().Value(),
		Allocatable: membership.Subtract(capacity, a.cfg.Reserved),
		DNS:         podspec.DNS{Servers: texts(a.cfg.ClusterDNS), Domain: a.cfg.ClusterDomain},
	}
	f, err := os.Open(a.cfg.ResolvConf)
	if err != nil {
		a.cfg.Log.Warn("the node's resolv.conf cannot be read; pods get no DNS but the cluster's", "error", err)
		return n, nil
	}
	defer f.Close()
	n.DNS.Host, err = podspec.ParseResolv(f)
	return n, err
}

func (a *Agent) capacity() corev1.ResourceList {
	out := membership.Capacity(a.cfg.Root, a.cfg.MaxPods)
	for name, q := range a.cfg.Capacity {
		out[name] = q
	}
	return out
}

func texts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

func hostname(fallback string) string {
	h, err := os.Hostname()
	if err != nil {
		return fallback
	}
	return h
}

// listen opens the node API's port early: a port in use is an error of the
// start, not of later.
func (a *Agent) listen() (net.Listener, error) {
	if a.cfg.Listen == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", a.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("node API: %w", err)
	}
	return ln, nil
}

// cleanupTimeout bounds the orderly part of Cleanup.
const cleanupTimeout = 30 * time.Second

// Cleanup ends every pod of the node that cfg describes, its private
// containerd, and removes their mounts and cgroups; with purge also all of its
// files. It is called when no agent of the node runs, and may be called again.
func Cleanup(ctx context.Context, cfg Config, purge bool) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if !filepath.IsAbs(cfg.Root) || strings.Trim(cfg.Root, "/") == "" {
		return fmt.Errorf("root directory %q is not absolute", cfg.Root)
	}
	if cfg.RuntimeEndpoint == "" {
		// Orderly first, so that CNI plugins free addresses and interfaces.
		if err := stopPods(ctx, cfg); err != nil {
			cfg.Log.Warn("pods are ended by force", "error", err)
		}
		if err := containerd.Cleanup(ctx, cfg.containerd(), cfg.podGroup(), cfg.runtimeGroup()); err != nil {
			return err
		}
	}
	held := []string{cfg.dir("pods"), cfg.dir("containerd")}
	if purge {
		held = append(held, cfg.localVolumes()) // containers may have mounted there, too
	}
	for _, d := range held {
		if err := mount.DetachBelow(d); err != nil {
			return err
		}
		if left, err := mount.Below(d); err != nil || len(left) > 0 {
			return fmt.Errorf("still mounted: %v %w", left, err)
		}
	}
	if err := os.RemoveAll(cfg.dir("pods")); err != nil {
		return err
	}
	if purge {
		return os.RemoveAll(cfg.Root)
	}
	return nil
}

// stopPods stops and removes every sandbox through the runtime, if it answers.
func stopPods(ctx context.Context, cfg Config) error {
	cc := cfg.containerd()
	if _, err := os.Stat(cc.Socket()); err != nil {
		return nil // nothing runs
	}
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	client, err := cri.Connect(cc.Endpoint())
	if err != nil {
		return err
	}
	defer client.Close()
	pods, err := client.Pods(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, p := range pods {
		for _, s := range p.Sandboxes {
			group.Go(func() error {
				if err := client.StopSandbox(ctx, s.ID); err != nil {
					return err
				}
				return client.RemoveSandbox(ctx, s.ID)
			})
		}
	}
	return group.Wait()
}
