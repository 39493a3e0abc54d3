package lb

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Protocol is an IP protocol number.
type Protocol uint8

// The protocols that are translated.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// String returns the protocol as Kubernetes writes it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	}
	return fmt.Sprintf("IP(%d)", uint8(p))
}

// Scope says who is answered by a frontend.
type Scope uint8

const (
	// Cluster frontends answer processes and pods of this node, and packets
	// from outside for which no External frontend stands.
	Cluster = Scope(bpf.LBScopeSCOPE_CLUSTER)
	// External frontends answer packets that come in by an uplink.
	External = Scope(bpf.LBScopeSCOPE_EXTERNAL)
)

// A Frontend is an address that clients name. The unspecified address 0.0.0.0
// stands for every address of this node (see [Addresses.SetNodeAddrs]) and, for
// processes in the node's own network namespace, for its loopback.
type Frontend struct {
	Addr  netip.AddrPort
	Proto Protocol
	Scope Scope
}

// A Backend is an address that serves.
type Backend struct {
	Addr netip.AddrPort
	// Local backends are on this node, so a packet to them from outside keeps
	// the client's address.
	Local bool
}

// A Service sends its frontends' traffic to its backends. It has one protocol:
// that of its frontends.
type Service struct {
	// Key names the service among those of one Balancer.
	Key       string
	Frontends []Frontend
	// Backends may be empty: then a connect is refused.
	Backends []Backend
	// Foreign says that another proxy serves the frontends: they are left to it.
	Foreign bool
	// Affinity keeps a client at its backend for as long as it comes again
	// within this time. 0 means none. Rounded up to seconds.
	Affinity time.Duration
	// Maglev chooses by the packet's five-tuple where packets are translated,
	// so that several nodes choose alike. Sockets choose at random anyway.
	Maglev bool
}

// toAddr is a as the maps have it: IPv6, or IPv4 mapped into it.
func toAddr(a netip.Addr) bpf.LBAddr {
	var out bpf.LBAddr
	b := a.As16()
	for i := range out.W {
		out.W[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return out
}

func addrOf(v bpf.LBAddr) netip.Addr {
	var b [16]byte
	for i, w := range v.W {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return netip.AddrFrom16(b).Unmap()
}

// be16 converts between host and network order, in either direction.
func be16(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func (f Frontend) key() (bpf.LBFrontendKey, error) {
	if !f.Addr.Addr().Unmap().Is4() {
		return bpf.LBFrontendKey{}, fmt.Errorf("frontend %s: not an IPv4 address", f.Addr)
	}
	if f.Proto != TCP && f.Proto != UDP {
		return bpf.LBFrontendKey{}, fmt.Errorf("frontend %s: protocol %s is not translated", f.Addr, f.Proto)
	}
	return bpf.LBFrontendKey{
		Addr:  toAddr(f.Addr.Addr()),
		Port:  be16(f.Addr.Port()),
		Proto: uint8(f.Proto),
		Scope: uint8(f.Scope),
	}, nil
}

func frontendOf(k bpf.LBFrontendKey) Frontend {
	return Frontend{
		Addr:  netip.AddrPortFrom(addrOf(k.Addr), be16(k.Port)),
		Proto: Protocol(k.Proto),
		Scope: Scope(k.Scope),
	}
}

func (b Backend) value(proto Protocol) (bpf.LBBackend, error) {
	if !b.Addr.Addr().Unmap().Is4() {
		return bpf.LBBackend{}, fmt.Errorf("backend %s: not an IPv4 address", b.Addr)
	}
	v := bpf.LBBackend{Addr: toAddr(b.Addr.Addr()), Port: be16(b.Addr.Port()), Proto: uint8(proto)}
	if b.Local {
		v.Flags |= uint8(bpf.LBBackendFlagBACKEND_LOCAL)
	}
	return v, nil
}

func backendOf(v bpf.LBBackend) Backend {
	return Backend{
		Addr:  netip.AddrPortFrom(addrOf(v.Addr), be16(v.Port)),
		Local: v.Flags&uint8(bpf.LBBackendFlagBACKEND_LOCAL) != 0,
	}
}

// frontendValue is what all frontends of a service hold, without the count.
func (s Service) frontendValue(id uint32) bpf.LBFrontend {
	v := bpf.LBFrontend{Service: id}
	if s.Affinity > 0 {
		v.Flags |= uint16(bpf.LBFrontendFlagFRONTEND_AFFINITY)
		v.AffinitySeconds = uint32((s.Affinity + time.Second - 1) / time.Second)
	}
	if s.Foreign {
		v.Flags |= uint16(bpf.LBFrontendFlagFRONTEND_FOREIGN)
	}
	if s.Maglev {
		v.Flags |= uint16(bpf.LBFrontendFlagFRONTEND_MAGLEV)
	}
	return v
}

// wanted is a Service in the maps' terms.
type wanted struct {
	key       string
	frontends []bpf.LBFrontendKey
	backends  []bpf.LBBackend
	value     bpf.LBFrontend
	maglev    bool
}

func want(s Service) (wanted, error) {
	w := wanted{key: s.Key, value: s.frontendValue(0), maglev: s.Maglev}
	proto := Protocol(0)
	for _, f := range s.Frontends {
		k, err := f.key()
		if err != nil {
			return w, fmt.Errorf("service %s: %w", s.Key, err)
		}
		if proto != 0 && f.Proto != proto {
			return w, fmt.Errorf("service %s: frontends of %s and %s", s.Key, proto, f.Proto)
		}
		proto = f.Proto
		w.frontends = append(w.frontends, k)
	}
	slices.SortFunc(w.frontends, compareFrontends)
	w.frontends = slices.Compact(w.frontends)
	seen := make(map[bpf.LBBackend]bool, len(s.Backends))
	for _, b := range s.Backends {
		v, err := b.value(proto)
		if err != nil {
			return w, fmt.Errorf("service %s: %w", s.Key, err)
		}
		if !seen[v] {
			seen[v] = true
			w.backends = append(w.backends, v)
		}
	}
	if len(w.backends) > 0xffff {
		return w, fmt.Errorf("service %s: %d backends, at most 65535", s.Key, len(w.backends))
	}
	return w, nil
}

func compareFrontends(a, b bpf.LBFrontendKey) int {
	return cmp.Or(
		slices.Compare(a.Addr.W[:], b.Addr.W[:]),
		cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.Proto, b.Proto),
		cmp.Compare(a.Scope, b.Scope),
	)
}
