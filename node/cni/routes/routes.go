// Package routes keeps the node's routing table: routes to the pods of other
// nodes, and unreachable routes under the service and pod ranges, so that a
// packet which nothing translated or which no node serves is refused here
// instead of leaving by the default route.
//
// Every route of ours carries a protocol number ([Protocol]); routes of others
// are never touched. All functions act on the network namespace of the calling
// thread, and may be called concurrently.
package routes

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/node/dump"
)

// Protocol marks our routes: `ip route show proto 80` lists them.
const Protocol netlink.RouteProtocol = 80

// guardMetric makes a guard yield to every other route to the same prefix.
const guardMetric = 1 << 30

// Guard makes destinations in the prefixes unreachable, unless a better or a
// longer route leads there. It is idempotent.
func Guard(prefixes ...netip.Prefix) error {
	for _, p := range prefixes {
		r := &netlink.Route{Dst: ipNet(p), Type: unix.RTN_UNREACHABLE, Protocol: Protocol, Priority: guardMetric}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("make %s unreachable: %w", p, err)
		}
	}
	return nil
}

// Remove deletes every route of ours, guards included.
func Remove() error {
	all, err := ours()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range all {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("delete route to %s: %w", r.Dst, err))
		}
	}
	return errors.Join(errs...)
}

// A Peer is another node: its pods are reached by its address.
type Peer struct {
	Pods netip.Prefix
	Via  netip.Addr
}

// ErrNotOnLink says that a peer's address is itself reached by a router, so that
// a route by it would send pod addresses to that router.
var ErrNotOnLink = errors.New("not on a link of this node")

// Sync makes the routes to these peers the only ones of ours beside the guards.
// Peers that cannot be reached directly are left out, and named in the error,
// which wraps [ErrNotOnLink]; the others are in place then.
func Sync(peers []Peer) error {
	have, err := ours()
	if err != nil {
		return err
	}
	stale := map[netip.Prefix]netlink.Route{}
	for _, r := range have {
		if r.Type != unix.RTN_UNREACHABLE {
			stale[prefixOf(r.Dst)] = r
		}
	}
	var errs []error
	for _, p := range peers {
		old, ok := stale[p.Pods]
		if via, _ := netip.AddrFromSlice(old.Gw); ok && via.Unmap() == p.Via {
			delete(stale, p.Pods)
			continue
		}
		if err := add(p); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(stale, p.Pods)
	}
	for _, r := range stale {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("delete route to %s: %w", r.Dst, err))
		}
	}
	return errors.Join(errs...)
}

func add(p Peer) error {
	path, err := netlink.RouteGet(p.Via.AsSlice())
	if err != nil {
		return fmt.Errorf("route to %s: %w", p.Via, err)
	}
	if len(path) == 0 || path[0].Gw != nil {
		return fmt.Errorf("pods %s by %s: %w", p.Pods, p.Via, ErrNotOnLink)
	}
	r := &netlink.Route{Dst: ipNet(p.Pods), Gw: p.Via.AsSlice(), LinkIndex: path[0].LinkIndex, Protocol: Protocol}
	if err := netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("route to pods %s by %s: %w", p.Pods, p.Via, err)
	}
	return nil
}

func ours() ([]netlink.Route, error) {
	filter := &netlink.Route{Protocol: Protocol}
	all, err := dump.List(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_PROTOCOL)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return all, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	p = p.Masked()
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}
