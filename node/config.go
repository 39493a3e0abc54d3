package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/containerd"
	"github.com/pintle-io/pintle/node/informer"
)

// Network gives pods their addresses.
type Network interface {
	// Configure is called once the node's range of pod addresses is known,
	// and again with the same range after a restart. It is called until it
	// succeeds.
	Configure(ctx context.Context, podCIDR netip.Prefix) error
	// Ready reports whether pods can be given addresses.
	Ready() bool
}

// Config of an Agent. Default sets every field that is not required.
type Config struct {
	// Name of the node in the API; required.
	Name string
	// REST reaches the API server with the node's credentials; required
	// unless Client is set.
	REST *rest.Config
	// Client, if set, is used instead of one made from REST.
	Client kubernetes.Interface
	// Root is the directory that holds everything of the node; required,
	// absolute, and short: the runtime's socket lies in it.
	Root string

	// RuntimeEndpoint is the CRI socket ("unix:///…") of a container runtime
	// that somebody else runs. "" starts a private containerd below Root.
	RuntimeEndpoint string
	// Containerd and Runc are executables of the private containerd; "" looks
	// them up in PATH.
	Containerd, Runc string
	// NetNS is the path of a network namespace to start the private
	// containerd in; "" is the agent's own.
	NetNS string
	// Registry is the "host:port" that every image name resolves to, over
	// plain HTTP; "" leaves names as they are.
	Registry string
	// SandboxImage is the reference of the pause image.
	SandboxImage string
	// CNIBinDir and CNIConfDir tell the private containerd where CNI plugins
	// and networks are; "" is below Root.
	CNIBinDir, CNIConfDir string
	// Cgroup is the node's group, such as "/pintle/n1": pods run in its child
	// "kubepods", containerd in "runtime".
	Cgroup string
	// WholeMachine tells that the machine is this node alone: figures of the
	// node are the machine's, not those of Cgroup.
	WholeMachine bool

	// IPs are the node's addresses, the main one first; empty finds one.
	IPs []netip.Addr
	// Labels are added to the well-known ones.
	Labels map[string]string
	// Taints the node registers with.
	Taints []corev1.Taint
	// Capacity replaces parts of what the machine has, where several nodes
	// share it.
	Capacity corev1.ResourceList
	// Reserved is kept from pods.
	Reserved corev1.ResourceList
	// MaxPods bounds the pods on the node.
	MaxPods int64
	// Sysctls may be set by pods beside the safe ones, such as "kernel.msg*".
	Sysctls []string
	// PodPIDs bounds the tasks of a pod; 0 means no limit.
	PodPIDs int64

	// Network gives pods addresses. Nil means that only pods on the node's
	// own network can run.
	Network Network
	// ClusterDNS answers cluster names; empty gives pods the node's DNS.
	ClusterDNS []netip.Addr
	// ClusterDomain is the domain of cluster names.
	ClusterDomain string
	// ResolvConf is the node's own.
	ResolvConf string

	// Draining takes a pod out of the node's balancer before the pod is asked
	// to end; it returns when that is done. Nil does nothing.
	Draining func(ctx context.Context, pod *corev1.Pod) error
	// DrainTimeout bounds Draining and the wait for the EndpointSlices to
	// drop the pod.
	DrainTimeout time.Duration
	// DrainGrace is waited after the EndpointSlices dropped the pod, so that
	// the balancers of other nodes do too.
	DrainGrace time.Duration

	// LeaseDuration is how long the node counts as alive after a renewal.
	LeaseDuration time.Duration
	// StatusInterval is how often the node looks at its own condition.
	StatusInterval time.Duration
	// ReportInterval is how often an unchanged condition is reported.
	ReportInterval time.Duration

	// Listen is the address of the node's own API; "" serves none.
	Listen string
	// Serving names the certificate of the node's API; required with Listen.
	Serving *tls.Config
	// ClientCAs are the authorities of its callers; required with Listen.
	ClientCAs *x509.CertPool
	// Profiling serves /debug/pprof/ of the agent's own API; nil: nobody does.
	Profiling http.Handler
	// Callers are common names of callers that are let in, beside members of
	// system:masters.
	Callers []string

	// ImageGCHigh and ImageGCLow are percentages of the image disk: above
	// high, unused images go until low is reached.
	ImageGCHigh, ImageGCLow int
	// LogSize and LogFiles bound a container's log: bytes of a file, number
	// of files.
	LogSize  int64
	LogFiles int

	// Informers are shared with other parts of the node in this process; their
	// owner runs them. Nil: the agent makes and runs its own.
	Informers *informer.Set
	// Metrics receives the agent's metrics, and /metrics shows them; nil
	// makes a registry.
	Metrics *prometheus.Registry
	// Log receives what happens; nil discards.
	Log *slog.Logger
}

// SandboxImage is the default pause image; any registry name resolves to the
// cluster's own.
const SandboxImage = "pintle.dev/pause:v1"

// Default is a configuration with everything set that need not be chosen.
func Default() Config {
	return Config{
		SandboxImage:   SandboxImage,
		Cgroup:         "/pintle/node",
		MaxPods:        110,
		PodPIDs:        4096,
		ClusterDomain:  "cluster.local",
		ResolvConf:     "/etc/resolv.conf",
		DrainTimeout:   time.Second,
		DrainGrace:     50 * time.Millisecond,
		LeaseDuration:  40 * time.Second,
		StatusInterval: 10 * time.Second,
		ReportInterval: 5 * time.Minute,
		Listen:         ":10250",
		Callers:        []string{"kube-apiserver-kubelet-client", "system:kube-apiserver"},
		ImageGCHigh:    85,
		ImageGCLow:     80,
		LogSize:        10 << 20,
		LogFiles:       5,
	}
}

// Validate returns everything that is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if faults := validation.IsDNS1123Subdomain(c.Name); len(faults) > 0 {
		wrong("node name %q: %s", c.Name, strings.Join(faults, "; "))
	}
	if c.REST == nil && c.Client == nil {
		wrong("no API server is configured")
	}
	if !filepath.IsAbs(c.Root) {
		wrong("root directory %q is not absolute", c.Root)
	}
	if c.RuntimeEndpoint != "" && !strings.HasPrefix(c.RuntimeEndpoint, "unix:///") {
		wrong("runtime endpoint %q: want unix:///path", c.RuntimeEndpoint)
	}
	if !filepath.IsAbs(c.Cgroup) || strings.Trim(c.Cgroup, "/") == "" || filepath.Clean(c.Cgroup) != c.Cgroup {
		wrong("cgroup %q: want a path below the root, such as /pintle/node", c.Cgroup)
	}
	if c.MaxPods < 1 || c.PodPIDs < 0 {
		wrong("at least one pod and no negative number of tasks must be allowed (have %d, %d)", c.MaxPods, c.PodPIDs)
	}
	if err := admit.CheckSysctls(c.Sysctls); err != nil {
		errs = append(errs, err)
	}
	for _, d := range []struct {
		name string
		at   time.Duration
		min  time.Duration
	}{{"lease duration", c.LeaseDuration, time.Second}, {"status interval", c.StatusInterval, 100 * time.Millisecond},
		{"report interval", c.ReportInterval, c.StatusInterval}, {"drain timeout", c.DrainTimeout, 0}, {"drain grace", c.DrainGrace, 0}} {
		if d.at < d.min {
			wrong("%s of %s is too short: at least %s", d.name, d.at, d.min)
		}
	}
	if c.Listen != "" && (c.Serving == nil || c.ClientCAs == nil) {
		wrong("the node's API at %s needs a serving certificate and client authorities", c.Listen)
	}
	if c.ImageGCLow >= c.ImageGCHigh || c.ImageGCHigh > 100 || c.ImageGCLow < 0 {
		wrong("image collection: want 0 <= low < high <= 100, have %d and %d", c.ImageGCLow, c.ImageGCHigh)
	}
	if c.LogSize < 1 || c.LogFiles < 2 {
		wrong("logs: want at least 1 byte and 2 files, have %d and %d", c.LogSize, c.LogFiles)
	}
	return errors.Join(errs...)
}

func (c *Config) dir(name ...string) string {
	return filepath.Join(append([]string{c.Root}, name...)...)
}

// localVolumes is where volumes are that are provisioned on this node: their data.
func (c *Config) localVolumes() string { return c.dir("local-path") }

// podGroup is the cgroup of all pods, runtimeGroup that of the containerd.
func (c *Config) podGroup() string     { return c.Cgroup + "/kubepods" }
func (c *Config) runtimeGroup() string { return c.Cgroup + "/runtime" }

// CNIBin and CNIConf are the directories that the private containerd uses.
func (c *Config) CNIBin() string { return orElse(c.CNIBinDir, c.dir("cni", "bin")) }

// CNIConf is the directory of CNI networks.
func (c *Config) CNIConf() string { return orElse(c.CNIConfDir, c.dir("cni", "net.d")) }

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func (c *Config) containerd() containerd.Config {
	return containerd.Config{
		Dir: c.dir("containerd"), Binary: c.Containerd, Runc: c.Runc, Registry: c.Registry, SandboxImage: c.SandboxImage,
		CNIBinDir: c.CNIBin(), CNIConfDir: c.CNIConf(), Cgroup: c.runtimeGroup(), NetNS: c.NetNS, Log: c.Log,
	}
}
