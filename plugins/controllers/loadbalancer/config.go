package loadbalancer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// DefaultClass is the loadBalancerClass of this controller.
const DefaultClass = "pintle.dev/load-balancer"

// Config is the plugin's configuration.
type Config struct {
	// Pool are the addresses that are given away, IPv4: "192.0.2.0/28",
	// "192.0.2.40-192.0.2.60" or "192.0.2.7". Of a prefix all are, the first and the last
	// included. None: Services share the addresses of the nodes.
	Pool []string `json:"pool"`
	// Class is the loadBalancerClass of the Services that are served; "" is
	// [DefaultClass].
	Class string `json:"class"`
	// OnlyClass leaves Services without a class to somebody else.
	OnlyClass bool `json:"onlyClass"`
	// ReservedPorts are those that a Service does not get at the nodes' own addresses,
	// "22" or "30000-32767", because something of the node listens there; nil is
	// [DefaultReserved].
	ReservedPorts []string `json:"reservedPorts"`
	// ServerPorts are reserved, too: those that the server listens at, which it writes
	// here when it starts.
	ServerPorts []string `json:"serverPorts"`
}

// DefaultReserved are SSH, etcd, the image registry, the API, the node agent, and the
// node ports.
var DefaultReserved = []string{"22", "2379-2380", "5000", "6443", "10250", "30000-32767"}

// span is the addresses, or the ports, from one to another.
type span[T any] struct{ first, last T }

// settings are a configuration that was read.
type settings struct {
	class     string
	onlyClass bool
	pool      []span[netip.Addr]
	reserved  []span[int32]
}

// parse reads a configuration; none is the default one.
func parse(raw []byte) (*settings, error) {
	var c Config
	if len(bytes.TrimSpace(raw)) > 0 {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	s := &settings{class: c.Class, onlyClass: c.OnlyClass}
	if s.class == "" {
		s.class = DefaultClass
	}
	if c.ReservedPorts == nil {
		c.ReservedPorts = DefaultReserved
	}
	for i, text := range c.Pool {
		r, err := addressSpan(text)
		if err != nil {
			return nil, fmt.Errorf("config.pool[%d] %q: %w", i, text, err)
		}
		s.pool = append(s.pool, r)
	}
	if err := s.reserve("reservedPorts", c.ReservedPorts); err != nil {
		return nil, err
	}
	return s, s.reserve("serverPorts", c.ServerPorts)
}

// reserve adds the ports of a field of the configuration.
func (s *settings) reserve(field string, ports []string) error {
	for i, text := range ports {
		r, err := portSpan(text)
		if err != nil {
			return fmt.Errorf("config.%s[%d] %q: %w", field, i, text, err)
		}
		s.reserved = append(s.reserved, r)
	}
	return nil
}

func addressSpan(text string) (span[netip.Addr], error) {
	var r span[netip.Addr]
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() {
			return r, errors.New("want a range of IPv4, like 192.0.2.0/28")
		}
		r.first = p.Masked().Addr()
		last := r.first.As4()
		for bit := p.Bits(); bit < 32; bit++ {
			last[bit/8] |= 1 << (7 - bit%8)
		}
		r.last = netip.AddrFrom4(last)
	} else {
		first, last, both := strings.Cut(text, "-")
		if !both {
			last = first
		}
		var err1, err2 error
		r.first, err1 = netip.ParseAddr(strings.TrimSpace(first))
		r.last, err2 = netip.ParseAddr(strings.TrimSpace(last))
		if err1 != nil || err2 != nil || !r.first.Is4() || !r.last.Is4() {
			return r, errors.New("want addresses of IPv4, like 192.0.2.40-192.0.2.60")
		}
		if r.last.Less(r.first) {
			return r, errors.New("the last address is before the first")
		}
	}
	if !usable(r.first) || !usable(r.last) {
		return r, errors.New("no host may have its addresses: they are unspecified, multicast, or those of the loopback")
	}
	return r, nil
}

func usable(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func portSpan(text string) (span[int32], error) {
	first, last, both := strings.Cut(text, "-")
	if !both {
		last = first
	}
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err1 != nil || err2 != nil || a == 0 || b < a {
		return span[int32]{}, errors.New("want a port, like 22, or ports, like 30000-32767")
	}
	return span[int32]{int32(a), int32(b)}, nil
}

// inPool tells that an address is of the pool.
func (s *settings) inPool(a netip.Addr) bool {
	for _, r := range s.pool {
		if !a.Less(r.first) && !r.last.Less(a) {
			return true
		}
	}
	return false
}

func (s *settings) isReserved(port int32) bool {
	for _, r := range s.reserved {
		if port >= r.first && port <= r.last {
			return true
		}
	}
	return false
}
