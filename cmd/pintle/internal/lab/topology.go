package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// The lab's own network. It exists only inside the lab's namespaces, none of
// which has a route to the outside.
const (
	switchNS   = "pintle-lab"
	bridgeName = "br0"
	uplink     = "eth0"
	subnetBits = 24
	// ServerIP is the control plane's address on the lab's switch.
	ServerIP  = "172.31.77.1"
	firstNode = 10
	// MaxNodes bounds --nodes: addresses, and what one machine can carry.
	MaxNodes = 64
)

// NodeIP is the address of the i-th node, counted from 1.
func NodeIP(i int) string { return fmt.Sprintf("172.31.77.%d", firstNode+i) }

func nodeNS(name string) string { return switchNS + "-" + name }

// port is the switch's end of a node's cable; interface names hold 15 bytes.
func port(i int) string { return fmt.Sprintf("port%d", i) }

// inNS runs f on a thread that is in the named network namespace.
func inNS(name string, f func() error) error {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer ns.Close()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	ferr := f()
	if err := netns.Set(home); err != nil {
		// The thread stays locked and dies with the goroutine: it must not
		// serve anybody else in the wrong namespace.
		return errors.Join(ferr, fmt.Errorf("leave namespace %s: %w", name, err))
	}
	runtime.UnlockOSThread()
	return ferr
}

func makeNS(name string) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	ns, err := netns.NewNamed(name) // switches this thread into it
	if err == nil {
		ns.Close()
	}
	if serr := netns.Set(home); serr != nil {
		return errors.Join(err, serr)
	}
	runtime.UnlockOSThread()
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	return nil
}

func existsNS(name string) bool {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return false
	}
	ns.Close()
	return true
}

func removeNS(name string) error {
	if err := netns.DeleteNamed(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// makeSwitch builds the namespace that holds the bridge and the control plane.
func makeSwitch() error {
	if err := makeNS(switchNS); err != nil {
		return err
	}
	return inNS(switchNS, func() error {
		if err := up("lo"); err != nil {
			return err
		}
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
		if err := netlink.LinkAdd(br); err != nil {
			return fmt.Errorf("add bridge: %w", err)
		}
		if err := address(bridgeName, ServerIP); err != nil {
			return err
		}
		return up(bridgeName)
	})
}

// plugIn builds a node's namespace and its cable to the switch.
func plugIn(i int, name string) error {
	if err := makeNS(nodeNS(name)); err != nil {
		return err
	}
	peer, err := netns.GetFromName(nodeNS(name))
	if err != nil {
		return err
	}
	defer peer.Close()
	err = inNS(switchNS, func() error {
		br, err := netlink.LinkByName(bridgeName)
		if err != nil {
			return err
		}
		veth := &netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: port(i), MasterIndex: br.Attrs().Index},
			PeerName:      uplink,
			PeerNamespace: netlink.NsFd(int(peer)),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("add cable of %s: %w", name, err)
		}
		return up(port(i))
	})
	if err != nil {
		return err
	}
	return inNS(nodeNS(name), func() error {
		return errors.Join(up("lo"), address(uplink, NodeIP(i)), up(uplink))
	})
}

// setCable cuts or mends the cable of a node at the switch.
func setCable(i int, connected bool) error {
	return inNS(switchNS, func() error {
		l, err := netlink.LinkByName(port(i))
		if err != nil {
			return fmt.Errorf("cable %s: %w", port(i), err)
		}
		if connected {
			return netlink.LinkSetUp(l)
		}
		return netlink.LinkSetDown(l)
	})
}

// cableUp reports whether the cable of a node is whole.
func cableUp(i int) bool {
	connected := false
	_ = inNS(switchNS, func() error {
		l, err := netlink.LinkByName(port(i))
		if err == nil {
			connected = l.Attrs().Flags&net.FlagUp != 0
		}
		return err
	})
	return connected
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

func address(name, ip string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	a := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ip).To4(), Mask: net.CIDRMask(subnetBits, 32)}}
	if err := netlink.AddrAdd(l, a); err != nil {
		return fmt.Errorf("address %s on %s: %w", ip, name, err)
	}
	return nil
}
