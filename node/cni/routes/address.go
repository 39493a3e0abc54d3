package routes

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddLocal gives the node one more address, on its loopback device: one by
// which every pod of the node, and nobody outside, can reach a service of the
// node itself. It is idempotent.
func AddLocal(a netip.Addr) error {
	lo, addr, err := localAddr(a)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(lo, addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s: %w", a, err)
	}
	return nil
}

// RemoveLocal undoes AddLocal. It is idempotent.
func RemoveLocal(a netip.Addr) error {
	lo, addr, err := localAddr(a)
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(lo, addr); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s: %w", a, err)
	}
	return nil
}

func localAddr(a netip.Addr) (netlink.Link, *netlink.Addr, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, nil, fmt.Errorf("find loopback: %w", err)
	}
	return lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Scope: unix.RT_SCOPE_HOST}, nil
}
