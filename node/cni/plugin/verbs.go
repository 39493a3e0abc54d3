package plugin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/pintle-io/pintle/node/cni/bridge"
	"github.com/pintle-io/pintle/node/cni/ipam"
)

// Versions are the CNI versions spoken.
var Versions = version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

// errNotAvailable is the code of STATUS for a plugin that cannot serve ADD now.
const errNotAvailable = 50

// Funcs returns the verbs, which print results to out.
func Funcs(out io.Writer) skel.CNIFuncs {
	v := verbs{out}
	return skel.CNIFuncs{Add: v.add, Del: v.del, Check: v.check, GC: v.gc, Status: v.status}
}

type verbs struct{ out io.Writer }

func (v verbs) add(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	if c.Type == LoopbackType {
		return v.addLoopback(c, args)
	}
	br, err := bridge.Ensure(c.Bridge, Gateway(c.PodCIDR), c.MTU)
	if err != nil {
		return err
	}
	at := ipam.Attachment{Container: args.ContainerID, Interface: args.IfName}
	addr, err := give(c, at, args.Netns)
	if err != nil {
		return err
	}
	ends, err := connect(c, br, at, addr, args.Netns)
	if err != nil {
		return errors.Join(err, disconnect(at), take(c, at))
	}
	gateway := Gateway(c.PodCIDR).Addr()
	result := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{
			{Name: c.Bridge, Mac: br.Attrs().HardwareAddr.String(), Mtu: br.Attrs().MTU},
			{Name: ends.host, Mtu: ends.mtu},
			{Name: args.IfName, Mac: bridge.MAC(addr).String(), Sandbox: args.Netns, Mtu: ends.mtu},
		},
		IPs: []*types100.IPConfig{{
			Interface: types100.Int(2),
			Address:   ipNet(netip.PrefixFrom(addr, c.PodCIDR.Bits())),
			Gateway:   gateway.AsSlice(),
		}},
		Routes: []*types.Route{{Dst: net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, GW: gateway.AsSlice()}},
	}
	return v.print(result, c)
}

func (v verbs) print(r *types100.Result, c *Config) error {
	versioned, err := r.GetAsVersion(c.CNIVersion)
	if err != nil {
		return err
	}
	return versioned.PrintTo(v.out)
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// give records an address for at.
func give(c *Config, at ipam.Attachment, netns string) (netip.Addr, error) {
	s, err := ipam.Open(c.DataDir)
	if err != nil {
		return netip.Addr{}, err
	}
	defer s.Close()
	return s.Give(at, c.PodCIDR, Gateway(c.PodCIDR).Addr(), ipam.Details{Netns: netns, Ports: c.Runtime.PortMappings})
}

func take(c *Config, at ipam.Attachment) error {
	s, err := ipam.Open(c.DataDir)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Take(at)
}

// del undoes add, however far it came, and whatever is left of the pod.
func (v verbs) del(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	if c.Type == LoopbackType {
		return nil // it ends with its namespace
	}
	at := ipam.Attachment{Container: args.ContainerID, Interface: args.IfName}
	if err := disconnect(at); err != nil {
		return err // the address stays taken while the device may be there
	}
	return take(c, at)
}

func (v verbs) check(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	if c.Type == LoopbackType {
		return checkLoopback(args.Netns)
	}
	at := ipam.Attachment{Container: args.ContainerID, Interface: args.IfName}
	s, err := ipam.Open(c.DataDir)
	if err != nil {
		return err
	}
	r, ok, err := s.Find(at)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if !ok {
		return types.NewError(types.ErrUnknownContainer, fmt.Sprintf("container %s has no address", args.ContainerID), "")
	}
	return checkConnected(c, at, r.Addr, args.Netns)
}

// gc takes back everything of containers that are no longer valid.
func (v verbs) gc(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil || c.Type == LoopbackType {
		return err
	}
	valid := map[ipam.Attachment]bool{}
	for _, a := range c.Valid {
		valid[ipam.Attachment{Container: a.ContainerID, Interface: a.IfName}] = true
	}
	return Collect(c.DataDir, func(r ipam.Record) bool { return valid[r.Attachment] })
}

// Collect takes back address and devices of all attachments recorded in dir
// but those to keep.
func Collect(dir string, keep func(ipam.Record) bool) error {
	s, err := ipam.Open(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	var errs []error
	err = s.TakeIf(func(r ipam.Record) bool {
		if keep(r) {
			return false
		}
		err := disconnect(r.Attachment)
		errs = append(errs, err)
		return err == nil
	})
	return errors.Join(append(errs, err)...)
}

// status says whether add would work.
func (v verbs) status(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil || c.Type == LoopbackType {
		return err
	}
	if _, err := bridge.Ensure(c.Bridge, Gateway(c.PodCIDR), c.MTU); err != nil {
		return types.NewError(errNotAvailable, "the bridge cannot be used", err.Error())
	}
	s, err := ipam.Open(c.DataDir)
	if err != nil {
		return types.NewError(errNotAvailable, "the address store cannot be used", err.Error())
	}
	return s.Close()
}
