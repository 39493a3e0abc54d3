package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/profiling"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/atomicfile"
	"github.com/pintle-io/pintle/internal/payload"
	"github.com/pintle-io/pintle/node"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/cni"
	"github.com/pintle-io/pintle/node/cni/routes"
	"github.com/pintle-io/pintle/node/dns"
	"github.com/pintle-io/pintle/node/informer"
	"github.com/pintle-io/pintle/node/service"
)

// LocalIP is an address that every node gives itself: the node's DNS answers
// there. It is link-local and leaves no node.
var LocalIP = netip.MustParseAddr("169.254.20.10")

// LocalAPI is where pods reach an API server that listens on the loopback of
// their machine only. It is an address for documentation (RFC 5737), so no
// network has it: the API takes no link-local endpoint.
// RATIONALE.md: "Why 198.51.100.10?"
var LocalAPI = netip.MustParseAddr("198.51.100.10")

// Bridge is the pods' bridge on every node.
const Bridge = "pintle0"

const dnsPort = 53

// Node says how to run a node's agent.
type Node struct {
	Dir     paths.Dir
	Name    string
	IP      netip.Addr
	Network Network
	// Cgroup is where the node's pods run, and the part of the machine whose
	// sockets the load balancer serves; "" is the whole machine.
	Cgroup string
	// API reaches the server with the node's identity.
	API *rest.Config
	// Serving and ClientCAs are for the agent's own API.
	Serving   *tls.Config
	ClientCAs *x509.CertPool
	// Registry is the "host:port" that image names resolve to.
	Registry        string
	RuntimeEndpoint string
	// Masquerade lets pods reach the outside.
	Masquerade bool

	LeaseDuration  time.Duration
	StatusInterval time.Duration
	Labels         map[string]string
	Taints         []corev1.Taint
	// Sysctls may be set by pods beside the safe ones.
	Sysctls []string
	// Profiling serves /debug/pprof/ on the agent's own API.
	Profiling bool

	Report *steps.Reporter
	Log    *slog.Logger
}

// wholeMachine is the cgroup of pods where the machine is one node.
const wholeMachine = "/pintle/node"

func (n *Node) config() node.Config {
	c := node.Default()
	c.Name, c.REST, c.Root, c.Registry, c.RuntimeEndpoint, c.Log = n.Name, n.API, string(n.Dir), n.Registry, n.RuntimeEndpoint, n.Log
	c.Cgroup, c.WholeMachine = n.Cgroup, n.Cgroup == ""
	if c.WholeMachine {
		c.Cgroup = wholeMachine
	}
	if n.IP.IsValid() {
		c.IPs = []netip.Addr{n.IP}
	}
	c.ClusterDNS = []netip.Addr{n.Network.DNSIP()}
	c.Serving, c.ClientCAs = n.Serving, n.ClientCAs
	c.Listen = netip.AddrPortFrom(n.IP, 10250).String()
	c.Labels, c.Taints, c.Sysctls = n.Labels, n.Taints, n.Sysctls
	if n.Profiling {
		c.Profiling = profiling.Handler()
	}
	if n.LeaseDuration > 0 {
		c.LeaseDuration = n.LeaseDuration
	}
	if n.StatusInterval > 0 {
		c.StatusInterval = n.StatusInterval
		c.ReportInterval = max(c.ReportInterval, n.StatusInterval)
	}
	return c
}

// pins is where the load balancer keeps its maps and programs: a BPF file
// system that it mounts.
func (n *Node) pins() string { return filepath.Join(string(n.Dir), "bpf") }

func (n *Node) cni(c node.Config, nodes cache.SharedIndexInformer, ports cni.HostPorts) *cni.Network {
	return cni.New(cni.Config{
		Node: n.Name, Nodes: nodes, DataDir: filepath.Join(string(n.Dir), "cni"), ConfDir: c.CNIConf(), BinDir: c.CNIBin(),
		Executable: n.cniExecutable(), Bridge: Bridge, NodeIP: n.IP, PodRange: n.Network.Pods, ServiceRange: n.Network.Services,
		Masquerade: n.Masquerade, HostPorts: ports, Log: n.Log,
	})
}

func (n *Node) cniExecutable() string { return filepath.Join(string(n.Dir), payload.CNI) }

// Run runs the node until ctx ends. ready is called once it is registered and
// serves Services.
func (n *Node) Run(ctx context.Context, ready func()) error {
	if err := n.prepare(); err != nil {
		return err
	}
	client, err := node.NewClient(service.ClientConfig(n.API))
	if err != nil {
		return err
	}
	balancer, err := n.balancer()
	if err != nil {
		return err
	}
	defer balancer.Close()
	follow := informer.New(client, n.Name)
	catalog, err := service.NewCatalog(follow)
	if err != nil {
		return err
	}
	proxy := service.New(service.Config{Catalog: catalog, Table: balancer.Table, Sockets: balancer.Sockets, Node: n.Name, Static: n.static(), Log: n.Log})
	resolver, err := n.resolver(catalog)
	if err != nil {
		return err
	}
	cfg := n.config()
	network := n.cni(cfg, follow.Nodes(), proxy)
	cfg.Client, cfg.Informers, cfg.Network = client, follow, network
	cfg.Draining = func(_ context.Context, pod *corev1.Pod) error { return drain(proxy, pod) }
	agent, err := node.New(cfg)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, run := range map[string]func(context.Context) error{
		"informers": follow.Run, "services": catalog.Run, "load balancer": proxy.Run, "dns": resolver.Run, "pod network": network.Run, "node agent": agent.Run,
		"sockets": func(ctx context.Context) error { return service.FollowStrays(ctx, balancer.Reconnector, n.Log, nil) },
		"devices": func(ctx context.Context) error {
			return service.FollowDevices(ctx, balancer.Addresses, balancer.Packets, service.DeviceConfig{NodeIP: n.IP, Bridge: Bridge, Log: n.Log})
		},
	} {
		group.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	group.Go(func() error { n.announce(ctx, proxy, agent, network, ready); return nil })
	return group.Wait()
}

// announce tells of the parts as they come up.
func (n *Node) announce(ctx context.Context, proxy *service.Proxy, agent *node.Agent, network *cni.Network, ready func()) {
	wait := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if !wait(proxy.Ready()) {
		return
	}
	n.Report.Done("services", "eBPF on sockets and packets, DNS at %s", n.Network.DNSIP())
	if !wait(agent.Ready()) {
		return
	}
	for tick := time.NewTicker(20 * time.Millisecond); !network.Ready(); {
		if !wait(nextTick(tick)) {
			return
		}
	}
	n.Report.Done("node", "%s at %s, containerd", n.Name, n.IP)
	if ready != nil {
		ready()
	}
}

func nextTick(t *time.Ticker) <-chan struct{} {
	c := make(chan struct{})
	go func() { <-t.C; close(c) }()
	return c
}

// quickPings make client-go notice within seconds that a connection to the
// server is dead, as after a partition; its own defaults take 45.
func quickPings() error {
	for name, seconds := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "5", "HTTP2_PING_TIMEOUT_SECONDS": "3"} {
		if os.Getenv(name) == "" {
			if err := os.Setenv(name, seconds); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare lays out what other programs need: the CNI executable, the node's
// own address.
func (n *Node) prepare() error {
	if err := quickPings(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("a node makes namespaces, mounts and BPF programs: run as root")
	}
	if err := os.MkdirAll(string(n.Dir), 0o711); err != nil {
		return err
	}
	b, err := payload.Read(payload.CNI)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(n.cniExecutable(), b, 0o755); err != nil { // one that runs goes on
		return err
	}
	// Before anything asks for a virtual address: one that nothing translates
	// must not leave by the default route.
	if err := routes.Guard(n.Network.Services, n.Network.Pods); err != nil {
		return err
	}
	return routes.AddLocal(LocalIP)
}

func (n *Node) balancer() (*lb.Balancer, error) {
	system, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	if err := system.RequireV2(); err != nil {
		return nil, err
	}
	path := filepath.Join(system.V2, n.Cgroup)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	pods := ""
	if n.Cgroup == "" {
		// The machine has processes that are not the node's.
		pods = filepath.Join(system.V2, wholeMachine)
		if err := os.MkdirAll(pods, 0o755); err != nil {
			return nil, err
		}
	}
	b, err := lb.Open(lb.Config{PinDir: n.pins(), CgroupPath: path, PodsPath: pods})
	if err != nil {
		return nil, fmt.Errorf("load balancer: %w", err)
	}
	if err := b.Addresses.SetServiceRanges([]netip.Prefix{n.Network.Services}); err != nil {
		return nil, errors.Join(fmt.Errorf("load balancer: %w", err), b.Close())
	}
	return b, nil
}

// static is what the node serves itself: the cluster's DNS.
func (n *Node) static() []lb.Service {
	var out []lb.Service
	for _, proto := range []lb.Protocol{lb.UDP, lb.TCP} {
		out = append(out, lb.Service{
			Key:       "static/dns/" + proto.String(),
			Frontends: []lb.Frontend{{Addr: netip.AddrPortFrom(n.Network.DNSIP(), dnsPort), Proto: proto}},
			Backends:  []lb.Backend{{Addr: netip.AddrPortFrom(LocalIP, dnsPort), Local: true}},
		})
	}
	return out
}

func (n *Node) resolver(catalog *service.Catalog) (*dns.Server, error) {
	up, err := dns.Upstreams("/etc/resolv.conf", LocalIP, n.Network.DNSIP())
	if err != nil {
		return nil, err
	}
	server, err := dns.Listen(dns.Config{Source: catalog, Listen: []netip.AddrPort{netip.AddrPortFrom(LocalIP, dnsPort)},
		Ranges: []netip.Prefix{n.Network.Services, n.Network.Pods}, Upstreams: up, Log: n.Log})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cluster DNS: %w; does another Pintle node run on this machine? (`pintle down` stops it)", err)
	}
	return server, err
}

// drain takes a pod out of the node's balancer.
func drain(p *service.Proxy, pod *corev1.Pod) error {
	for _, ip := range pod.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			if err := p.Drain(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// Cleanup removes everything of the node from the machine: pods, network,
// mounts, BPF programs. Nothing of it may run.
func (n *Node) Cleanup(ctx context.Context, purge bool) error {
	c := n.config()
	groups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	return errors.Join(
		lb.Remove(n.pins()), // its file system lies in the node's directory
		n.cni(c, nil, nil).Cleanup(ctx),
		node.Cleanup(ctx, c, purge),
		groups.Remove(c.Cgroup), // its parents may be others', too
		routes.Remove(),
		routes.RemoveLocal(LocalIP),
	)
}
