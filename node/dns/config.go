package dns

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// A Source is the watch that cluster names are answered from. Its objects are
// shared and not modified.
type Source interface {
	// Synced is closed when the Source knows everything that there is.
	Synced() <-chan struct{}
	Service(types.NamespacedName) *corev1.Service
	Slices(types.NamespacedName) []*discoveryv1.EndpointSlice
	// At names the Services that have an endpoint of this address.
	At(netip.Addr) []types.NamespacedName
	AtClusterIP(netip.Addr) []*corev1.Service
	HasNamespace(string) bool
}

// Config is what a Server is made from.
type Config struct {
	Source Source
	// Domain of the cluster; empty means cluster.local.
	Domain string
	// Listen are the addresses to serve on, UDP and TCP. They need not exist yet.
	// Port 0 takes a free one.
	Listen []netip.AddrPort
	// Ranges are the cluster's addresses: their reverse names are ours.
	Ranges []netip.Prefix
	// Upstreams answer other names, asked in this order. None: such names are
	// refused. See [Upstreams] for those of the machine.
	Upstreams []netip.AddrPort
	// TTL of cluster answers, negative ones too; 0 means 5 s.
	TTL time.Duration
	// CacheEntries bounds forwarded answers that are kept; 0 means 4,096.
	CacheEntries int
	// MaxQueries bounds questions in work, forwards a quarter of it; 0 means 1,000.
	MaxQueries int
	// Timeout is how long one upstream has; 0 means 2 s.
	Timeout time.Duration
	Metrics prometheus.Registerer // nil means nowhere
	Log     *slog.Logger          // nil discards
	Clock   clock.PassiveClock    // of the cache; nil means the real one
}

func (c Config) withDefaults() (Config, error) {
	if c.Source == nil || len(c.Listen) == 0 {
		return c, errors.New("dns: no source or no address to listen on")
	}
	if c.Domain == "" {
		c.Domain = "cluster.local"
	}
	if _, ok := dns.IsDomainName(c.Domain); !ok {
		return c, fmt.Errorf("dns: domain %q is not a name", c.Domain)
	}
	c.Domain = dns.CanonicalName(c.Domain)
	if c.TTL == 0 {
		c.TTL = 5 * time.Second
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = 4096
	}
	if c.MaxQueries == 0 {
		c.MaxQueries = 1000
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	c.Upstreams = slices.DeleteFunc(slices.Clone(c.Upstreams), func(a netip.AddrPort) bool { return slices.Contains(c.Listen, a) })
	return c, nil
}

// Upstreams reads the name servers of a resolv.conf, at most three as the
// resolver does. Those among not, our own addresses, are left out. A file that
// is not there names none.
func Upstreams(path string, not ...netip.Addr) ([]netip.AddrPort, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []netip.AddrPort
	sc := bufio.NewScanner(f)
	for sc.Scan() && len(out) < 3 {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(fields[1])
		if err == nil && !slices.Contains(not, a.Unmap()) {
			out = append(out, netip.AddrPortFrom(a.Unmap(), 53))
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return out, nil
}
