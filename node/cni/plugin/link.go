package plugin

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/node/cni/bridge"
	"github.com/pintle-io/pintle/node/cni/ipam"
	"github.com/pintle-io/pintle/node/dump"
)

// ends are the two devices of a pair.
type ends struct {
	host string
	mtu  int
}

// hostName is the name of the node's end, the same whenever it is asked for, so
// that a verb that was cut off can be repeated.
func hostName(at ipam.Attachment) string {
	h := fnv.New64a()
	h.Write([]byte(at.Container + "\x00" + at.Interface))
	return fmt.Sprintf("veth%011x", h.Sum64()&(1<<44-1))
}

// connect makes the pair: the node's end on the bridge, the pod's end with its
// address and a default route.
func connect(c *Config, br netlink.Link, at ipam.Attachment, addr netip.Addr, nsPath string) (ends, error) {
	pod, err := openNetns(nsPath)
	if err != nil {
		return ends{}, err
	}
	defer pod.close()
	host := hostName(at)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex, attrs.Flags = host, c.MTU, br.Attrs().Index, net.FlagUp
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: at.Interface, PeerHardwareAddr: bridge.MAC(addr), PeerNamespace: netlink.NsFd(pod.ns)}
	err = netlink.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) { // of a verb that was cut off
		if err = disconnect(at); err == nil {
			err = netlink.LinkAdd(veth)
		}
	}
	if err != nil {
		return ends{}, fmt.Errorf("make devices %s and %s: %w", host, at.Interface, err)
	}
	if err := bridge.QuietIPv6(veth); err != nil {
		return ends{}, fmt.Errorf("device %s: %w", host, err)
	}
	mtu, err := pod.configure(at.Interface, netip.PrefixFrom(addr, c.PodCIDR.Bits()), Gateway(c.PodCIDR).Addr())
	return ends{host, mtu}, err
}

// disconnect deletes the pair; either end takes the other with it.
func disconnect(at ipam.Attachment) error {
	l, err := netlink.LinkByName(hostName(at))
	if err == nil {
		err = netlink.LinkDel(l)
	}
	var missing netlink.LinkNotFoundError
	if err == nil || errors.Is(err, unix.ENODEV) || errors.As(err, &missing) {
		return nil
	}
	return fmt.Errorf("delete device %s: %w", hostName(at), err)
}

// Reattach puts the devices of the attachments recorded in dir back on the
// bridge, where they are not.
func Reattach(dir string, br netlink.Link) error {
	records, err := ipam.List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range records {
		l, err := netlink.LinkByName(hostName(r.Attachment))
		if err != nil || l.Attrs().MasterIndex == br.Attrs().Index {
			continue // gone with its pod, or in place
		}
		if err := netlink.LinkSetMaster(l, br); err != nil {
			errs = append(errs, fmt.Errorf("put %s on bridge %s: %w", l.Attrs().Name, br.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}

// podNetns is a network namespace and a way to talk to it.
type podNetns struct {
	ns     netns.NsHandle
	handle *netlink.Handle
}

func openNetns(path string) (podNetns, error) {
	ns, err := netns.GetFromPath(path)
	if errors.Is(err, os.ErrNotExist) {
		return podNetns{}, types.NewError(types.ErrInvalidNetNS, fmt.Sprintf("network namespace %s is not there", path), "")
	}
	if err != nil {
		return podNetns{}, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return podNetns{}, fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return podNetns{ns, h}, nil
}

func (p podNetns) close() {
	p.handle.Close()
	p.ns.Close()
}

// configure gives the pod's end its address, brings it and the loopback up, and
// routes everything to the gateway.
func (p podNetns) configure(name string, addr netip.Prefix, gateway netip.Addr) (mtu int, err error) {
	l, err := p.handle.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find %s in the pod: %w", name, err)
	}
	if err := p.handle.LinkSetIP6AddrGenMode(l, nl.IN6_ADDR_GEN_MODE_NONE); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	n := ipNet(addr)
	if err := p.handle.AddrAdd(l, &netlink.Addr{IPNet: &n}); err != nil {
		return 0, fmt.Errorf("give %s to %s: %w", addr, name, err)
	}
	if err := p.handle.LinkSetUp(l); err != nil {
		return 0, fmt.Errorf("bring up %s: %w", name, err)
	}
	if err := p.loopbackUp(); err != nil {
		return 0, err
	}
	if err := p.handle.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: gateway.AsSlice()}); err != nil {
		return 0, fmt.Errorf("default route by %s: %w", gateway, err)
	}
	return l.Attrs().MTU, nil
}

// loopbackIndex is the index of the loopback device in every network namespace.
const loopbackIndex = 1

func (p podNetns) loopbackUp() error {
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopbackIndex, Name: "lo"}}
	if err := p.handle.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring up the loopback device: %w", err)
	}
	return nil
}

func (v verbs) addLoopback(c *Config, args *skel.CmdArgs) error {
	pod, err := openNetns(args.Netns)
	if err != nil {
		return err
	}
	defer pod.close()
	if err := pod.loopbackUp(); err != nil {
		return err
	}
	return v.print(&types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{{Name: args.IfName, Mac: "00:00:00:00:00:00", Sandbox: args.Netns}},
		IPs:        []*types100.IPConfig{{Interface: types100.Int(0), Address: ipNet(netip.MustParsePrefix("127.0.0.1/8"))}},
	}, c)
}

func checkLoopback(path string) error {
	pod, err := openNetns(path)
	if err != nil {
		return err
	}
	defer pod.close()
	l, err := pod.handle.LinkByIndex(loopbackIndex)
	if err != nil {
		return fmt.Errorf("find the loopback device: %w", err)
	}
	if l.Attrs().Flags&net.FlagUp == 0 {
		return errors.New("the loopback device is down")
	}
	return nil
}

// checkConnected verifies what connect made.
func checkConnected(c *Config, at ipam.Attachment, addr netip.Addr, nsPath string) error {
	br, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", c.Bridge, err)
	}
	host, err := netlink.LinkByName(hostName(at))
	if err != nil {
		return fmt.Errorf("find device %s: %w", hostName(at), err)
	}
	if host.Attrs().MasterIndex != br.Attrs().Index || host.Attrs().Flags&net.FlagUp == 0 {
		return fmt.Errorf("device %s is down or not on bridge %s", hostName(at), c.Bridge)
	}
	pod, err := openNetns(nsPath)
	if err != nil {
		return err
	}
	defer pod.close()
	l, err := pod.handle.LinkByName(at.Interface)
	if err != nil {
		return fmt.Errorf("find %s in the pod: %w", at.Interface, err)
	}
	have, err := dump.List(func() ([]netlink.Addr, error) { return pod.handle.AddrList(l, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", at.Interface, err)
	}
	for _, a := range have {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap() == addr && l.Attrs().Flags&net.FlagUp != 0 {
			return nil
		}
	}
	return fmt.Errorf("%s is down or does not have %s", at.Interface, addr)
}
