package kernel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/apiserver/proxy"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/audit/backend"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/auth/authz"
	"github.com/pintle-io/pintle/kernel/auth/externalip"
	"github.com/pintle-io/pintle/kernel/egress"
	"github.com/pintle-io/pintle/kernel/egress/nodes"
	"github.com/pintle-io/pintle/kernel/endpoints"
	"github.com/pintle-io/pintle/kernel/lease"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/encrypted"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Config is what a control plane is made of.
type Config struct {
	// Dir holds etcd's data, keys and caches. Required.
	Dir string
	// Table lists the kinds that the catalog begins with, those of plugins among
	// them: see v1alpha1.Extend. Required.
	Table *resource.Table
	// Listeners serve the API over TLS. At least one.
	Listeners []net.Listener
	// Advertise is where pods and nodes reach the API server; it becomes the
	// endpoint of Service default/kubernetes.
	Advertise netip.AddrPort
	// ServiceIP is the ClusterIP of that Service, the first of the range.
	ServiceIP netip.Addr
	// ServiceCIDRs are the ranges of ClusterIPs, of which ServiceCIDR kubernetes is
	// made; none, or a table without that kind, makes no such object.
	ServiceCIDRs []netip.Prefix
	// Founding are objects that a new cluster begins with: they are made before its
	// system namespaces, and never again, so that who deletes one is rid of it.
	Founding []Founding
	// Names and IPs of the serving certificate, beside the usual ones.
	Names []string
	IPs   []net.IP

	// ExternalIPs says which external addresses Services may have, by Mode and
	// the ranges of Services and Pods. The addresses of this server are added.
	ExternalIPs externalip.Config

	// Store is one that is open already, and that its owner closes, as tests have
	// it; nil: Etcd says which.
	Store store.Store
	// Etcd names an external cluster; nil embeds one.
	Etcd *store.DialConfig
	// EtcdQuota is the size in bytes that the embedded etcd's database may
	// reach; 0 is 8 GiB.
	EtcdQuota int64
	// UnsafeNoFsync makes the embedded etcd forget its promises about power
	// loss; for benchmarks.
	UnsafeNoFsync bool

	// ServerToken brings the token by which a server gets the cluster's keys; nil:
	// there is none. It is asked only when Dir lacks them, or nobody has any yet.
	ServerToken func() (string, error)
	// ReplaceKeys makes the keys in Dir the cluster's, whatever they were before:
	// the way out when they are lost.
	ReplaceKeys bool

	// Lease are the times after which another server takes the lead; zero:
	// lease.DefaultTimes.
	Lease lease.Times

	// Adjust are last changes to how parts are made; tests have them.
	Adjust Adjust

	// Hosts run plugins, by kind.
	Hosts map[v1alpha1.HostKind]plugin.Host
	// Builtins ship with this binary; they become Plugin objects.
	Builtins []plugin.Builtin
	// BuiltinsFor, which may be nil, makes more of them for a cluster's CA.
	BuiltinsFor func(caPEM []byte) ([]plugin.Builtin, error)

	// Implementers are parts of the distribution outside of the control plane,
	// such as node agents, with the resources whose objects they bring about; see
	// kernel/implementers. Of plugins and of the kernel's own parts it is known.
	Implementers map[string][]schema.GroupResource

	// DisabledPlugins are not run, whatever their Plugin resources say: the way
	// in when one locks everybody out. loader.DisableAll stands for all that do
	// not ship.
	DisabledPlugins []string

	// Audit says which requests are recorded, and where; zero: none is.
	Audit audit.Options
	// Authentication says who is known besides whom every cluster knows; nil: nobody.
	Authentication *authn.Options
	// Authorization says who decides; nil: node authorization, then roles.
	Authorization *authz.Options
	// Encryption says which objects the store keeps encrypted; zero: none.
	Encryption encrypted.Config

	// Limits bound what clients may ask; zero fields have the edge's defaults.
	Limits apiserver.Limits
	// DisableFairness leaves FlowSchemas and PriorityLevelConfigurations without
	// effect: how many requests are executed at once is bounded for all alike.
	DisableFairness bool

	// Profiling serves /debug/pprof to cluster administrators; nil: nobody does.
	Profiling http.Handler

	// Dial reaches node agents, pods and webhooks; nil dials directly, and
	// notices peers that died.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// AgentOf finds the agent of a node, by which its pods are reached where there is
	// no route to them. Without it all is dialled directly.
	AgentOf func(ctx context.Context, r resource.Reader, node string) (*resource.Target, error)
	// PodRanges are where the addresses of a node's pods are; needed with AgentOf.
	PodRanges func(node runtime.Object) []netip.Prefix

	// Progress is told of each step of the start; may be nil.
	Progress func(step, format string, args ...any)
	Log      *slog.Logger // nil discards
}

// Founding is an object that a new cluster begins with.
type Founding struct {
	Resource schema.GroupVersionResource
	Object   runtime.Object
}

// Adjust changes the configurations of parts before they are made; nil changes
// nothing.
type Adjust struct {
	Cache func(*watch.Config)
	API   func(*apiserver.Config)
	// Clock is that of certificates, tokens, objects' timestamps and the API's own
	// endpoints; nil is the real one.
	Clock clock.WithTicker
	Audit backend.Backend // takes the audit events, instead of what Config.Audit names
}

func (c *Config) validate() error {
	var errs []error
	for _, x := range []struct {
		bad  bool
		what string
	}{
		{c.Dir == "", "Dir is required"}, {c.Table == nil, "Table is required"},
		{len(c.Listeners) == 0, "a listener is required"},
		{!c.Advertise.IsValid(), "Advertise is required"}, {!c.ServiceIP.IsValid(), "ServiceIP is required"},
	} {
		if x.bad {
			errs = append(errs, errors.New("kernel: "+x.what))
		}
	}
	if c.Table != nil {
		errs = append(errs, needed(c.Table))
	}
	return errors.Join(errs...)
}

// needed checks that a table has the kinds that the control plane itself writes
// and follows: it would wait for them for ever.
func needed(t *resource.Table) error {
	var missing []string
	for _, r := range []schema.GroupVersionResource{namespaces, services, endpoints.Leases, endpoints.Slices, v1alpha1.Plugins, v1alpha1.Modules} {
		if gr := r.GroupResource(); t.Lookup(gr) == nil {
			missing = append(missing, gr.String())
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("kernel: Table lacks kinds that the control plane itself needs: %s; v1alpha1.Extend adds those of plugins, plugins/kinds the others", strings.Join(missing, ", "))
}

func (c *Config) setDefaults() {
	if c.Dial == nil {
		c.Dial = proxy.Dialer().DialContext
	}
	if c.Adjust.Clock == nil {
		c.Adjust.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(string, string, ...any) {}
	}
}

// egress makes Dial reach the pods that this machine has no route to.
// What it gives, if it is not nil, has to follow the nodes.
func (c *Config) egress(base *tls.Config, r resource.Reader) *nodes.Agents {
	if c.AgentOf == nil || c.PodRanges == nil {
		return nil
	}
	a := nodes.New(nodes.Config{Reader: r, Agent: c.AgentOf, Ranges: c.PodRanges})
	c.Dial = egress.New(egress.Config{Direct: c.Dial, TLS: base, Clock: c.Adjust.Clock, AgentOf: a.Of}).DialContext
	return a
}

func (c *Config) path(name string) string { return filepath.Join(c.Dir, name) }
