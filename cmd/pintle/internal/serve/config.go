// Package serve puts together what a pintle process runs: the control plane
// with the kinds and plugins that ship, the image registry, and the node
// agent. It is where rooms that may not import each other meet.
package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/auth/authz"
	"github.com/pintle-io/pintle/kernel/auth/externalip"
	"github.com/pintle-io/pintle/kernel/store/encrypted"
)

// Network are the address ranges of a cluster. Server and nodes must agree.
type Network struct {
	Services netip.Prefix // ClusterIPs
	Pods     netip.Prefix // cut into a range for each node
}

// DefaultNetwork is that of `pintle up`.
var DefaultNetwork = Network{Services: netip.MustParsePrefix("10.96.0.0/16"), Pods: netip.MustParsePrefix("10.244.0.0/16")}

// KubernetesIP is the ClusterIP of default/kubernetes, the first of the range.
func (n Network) KubernetesIP() netip.Addr { return n.at(1) }

// DNSIP is the ClusterIP of the cluster's DNS, the tenth of the range.
func (n Network) DNSIP() netip.Addr { return n.at(10) }

func (n Network) at(i int) netip.Addr {
	a := n.Services.Masked().Addr()
	for range i {
		a = a.Next()
	}
	return a
}

// Validate names the flag that is wrong.
func (n Network) Validate() error {
	switch {
	case !n.Services.Addr().Is4() || n.Services.Bits() > 28:
		return fmt.Errorf("--service-cidr %s: want an IPv4 range of /28 or larger", n.Services)
	case !n.Pods.Addr().Is4() || n.Pods.Bits() > 24:
		return fmt.Errorf("--cluster-cidr %s: want an IPv4 range of /24 or larger", n.Pods)
	case n.Services.Overlaps(n.Pods):
		return fmt.Errorf("--service-cidr %s and --cluster-cidr %s overlap", n.Services, n.Pods)
	}
	return nil
}

// Server says how to run a control plane.
type Server struct {
	Dir       paths.Dir
	Network   Network
	Listeners []net.Listener
	Advertise netip.AddrPort
	// Registry serves images; none: no registry.
	Registry []net.Listener
	// PluginHost runs the built-in plugins: "wasm" or "native".
	PluginHost string
	// DisabledPlugins are not run; loader.DisableAll stands for all that do not
	// ship.
	DisabledPlugins []string
	// UnconfinedPlugins lets plugins of the process host run with all rights of
	// the server.
	UnconfinedPlugins bool

	// Token brings the token by which a server gets the cluster's keys; nil:
	// there is none.
	Token func() (string, error)
	// ReplaceKeys begins with new keys of the cluster when the old ones are lost.
	ReplaceKeys bool

	EtcdEndpoints             []string
	EtcdCA, EtcdCert, EtcdKey string
	// EtcdQuota is the size in bytes that the embedded etcd's database may
	// reach before writes are refused.
	EtcdQuota                           int64
	UnsafeNoFsync                       bool
	Grace                               time.Duration // node monitor grace period
	NotReadySeconds, UnreachableSeconds int64
	Disruption                          Disruption
	// ExternalIPs says which external addresses Services may have.
	ExternalIPs externalip.Mode
	// AllowPrivileged accepts pods with privileged containers.
	AllowPrivileged bool
	// Audit says which requests are recorded, and where.
	Audit audit.Options
	// Authentication and Authorization say who is known, and who decides.
	Authentication authn.Options
	Authorization  authz.Options
	// InFlight is how many short requests are executed at once.
	InFlight InFlight
	// Encryption says which objects the store keeps encrypted.
	Encryption encrypted.Config
	// Profiling serves /debug/pprof to cluster administrators.
	Profiling bool

	Report *steps.Reporter
	Log    *slog.Logger
}

// Disruption says how fast nodes that are not ready are emptied, when few of a
// zone are and when many are, and what is kept of pods that have ended. The fields are
// upstream's flags of these names.
type Disruption struct {
	UnhealthyZoneThreshold    float64
	LargeClusterSizeThreshold int
	NodeEvictionRate          float64 // nodes a second and zone
	SecondaryNodeEvictionRate float64
	// TerminatedPodThreshold (--terminated-pod-gc-threshold) is how many pods that have
	// ended are kept; 0 or less keeps all.
	TerminatedPodThreshold int
}

func (d *Disruption) validate() error {
	if !(d.UnhealthyZoneThreshold >= 0 && d.UnhealthyZoneThreshold <= 1) {
		return fmt.Errorf("--unhealthy-zone-threshold %v: want 0 to 1", d.UnhealthyZoneThreshold)
	}
	if !(d.NodeEvictionRate >= 0 && d.SecondaryNodeEvictionRate >= 0) || d.LargeClusterSizeThreshold < 0 {
		return errors.New("--node-eviction-rate, --secondary-node-eviction-rate and --large-cluster-size-threshold: want 0 or more")
	}
	return nil
}

// InFlight bounds the short requests that are executed at once. The fields are
// upstream's flags of these names.
type InFlight struct {
	// Fairness (--enable-priority-and-fairness) shares out the sum of both numbers by
	// FlowSchemas and PriorityLevelConfigurations; without it each bounds its own.
	Fairness bool
	Reads    int // --max-requests-inflight
	Writes   int // --max-mutating-requests-inflight
}

func (f *InFlight) validate() error {
	if f.Reads < 1 || f.Writes < 1 {
		return fmt.Errorf("--max-requests-inflight %d and --max-mutating-requests-inflight %d: want 1 or more", f.Reads, f.Writes)
	}
	return nil
}

// minEtcdQuota is what the plugins that ship take, and some room.
const minEtcdQuota = 16 << 20

// DefaultServer has upstream's defaults, and allows privileged containers as
// distributions do: network and storage agents need them.
func DefaultServer() Server {
	return Server{Dir: paths.Default, Network: DefaultNetwork, PluginHost: "wasm", Grace: 40 * time.Second, NotReadySeconds: 300, UnreachableSeconds: 300,
		Disruption:      Disruption{UnhealthyZoneThreshold: 0.55, LargeClusterSizeThreshold: 50, NodeEvictionRate: 0.1, SecondaryNodeEvictionRate: 0.01, TerminatedPodThreshold: 12500},
		ExternalIPs:     externalip.Safe,
		Audit:           audit.DefaultOptions(),
		Authentication:  authn.DefaultOptions(),
		Authorization:   authz.DefaultOptions(),
		InFlight:        InFlight{Fairness: true, Reads: 400, Writes: 200},
		AllowPrivileged: true, Profiling: true, EtcdQuota: 8 << 30}
}

// Validate reports every fault, by flag.
func (s *Server) Validate() error {
	errs := []error{s.Network.Validate(), s.Disruption.validate(), s.Audit.Validate(), s.InFlight.validate(), s.Authentication.Validate(), s.Authorization.Validate()}
	if s.PluginHost != "wasm" && s.PluginHost != "native" {
		errs = append(errs, fmt.Errorf("--plugin-host %q: want wasm or native", s.PluginHost))
	}
	if s.Grace <= 0 {
		errs = append(errs, fmt.Errorf("--node-monitor-grace-period %s: want more than 0", s.Grace))
	}
	if s.NotReadySeconds < 0 || s.UnreachableSeconds < 0 {
		errs = append(errs, errors.New("--default-not-ready-toleration-seconds and --default-unreachable-toleration-seconds: want 0 or more"))
	}
	if s.EtcdQuota < minEtcdQuota {
		errs = append(errs, fmt.Errorf("--etcd-quota-backend-bytes %d: want %d (16Mi) or more", s.EtcdQuota, minEtcdQuota))
	}
	if !slices.Contains(externalip.Modes, s.ExternalIPs) {
		errs = append(errs, fmt.Errorf("--service-external-ips %q: want one of %v", s.ExternalIPs, externalip.Modes))
	}
	if (s.EtcdCert == "") != (s.EtcdKey == "") {
		errs = append(errs, errors.New("--etcd-cert and --etcd-key go together"))
	}
	return errors.Join(errs...)
}
