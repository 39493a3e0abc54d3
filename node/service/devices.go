package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/dump"
)

// Addresses are told which are the node's: an [lb.Addresses].
type Addresses interface {
	SetNodeAddrs([]netip.Addr) error
}

// Packets are translated at the node's devices: an [lb.Packets].
type Packets interface {
	AttachDevice(lb.Device) error
	DetachDevice(index int) error
	Devices() ([]int, error)
}

// DeviceConfig says which devices matter.
type DeviceConfig struct {
	// NodeIP is the node's internal address; the device that has it is an uplink.
	NodeIP netip.Addr
	// Uplinks are names of further devices by which node ports are asked.
	Uplinks []string
	// Bridge is the name of the pods' bridge.
	Bridge string
	Log    *slog.Logger // nil discards
}

// FollowDevices keeps a and p in step with the devices and addresses of the calling
// process' network namespace until ctx ends. Devices may come and go.
func FollowDevices(ctx context.Context, a Addresses, p Packets, cfg DeviceConfig) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	done := make(chan struct{})
	defer close(done)
	addrs, links := make(chan netlink.AddrUpdate, 64), make(chan netlink.LinkUpdate, 64)
	onError := func(err error) { cfg.Log.Debug("netlink subscription", "error", err) }
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: onError}); err != nil {
		return fmt.Errorf("follow addresses: %w", err)
	}
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: onError}); err != nil {
		return fmt.Errorf("follow devices: %w", err)
	}
	var last network
	retry := backoff.New(retryAfter, retryLongest)
	for {
		var again <-chan time.Time
		now, err := observe(cfg)
		if err == nil && !now.equal(last) {
			err = now.apply(a, p)
			if err == nil {
				last = now
				cfg.Log.Info("node addresses and devices", "addrs", now.addrs, "devices", now.devices)
			}
		}
		if err != nil {
			last, again = network{}, time.After(retry.Failed(cfg.Log, "the node's devices are not followed", err))
		} else {
			retry.Succeeded(cfg.Log)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-addrs:
			if !ok {
				return errors.New("the kernel ended the subscription to addresses")
			}
		case _, ok := <-links:
			if !ok {
				return errors.New("the kernel ended the subscription to devices")
			}
		case <-again:
		}
		drain(addrs)
		drain(links)
	}
}

// drain takes what is there: one look at the state covers many events.
func drain[T any](c <-chan T) {
	for {
		select {
		case _, ok := <-c:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// network is what the balancer must know of this network namespace.
type network struct {
	addrs   []netip.Addr // sorted
	devices []lb.Device  // sorted by index
}

func (n network) equal(o network) bool {
	return slices.Equal(n.addrs, o.addrs) && slices.Equal(n.devices, o.devices)
}

func observe(cfg DeviceConfig) (network, error) {
	var n network
	links, err := dump.Links()
	if err != nil {
		return n, fmt.Errorf("list devices: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		if l.Attrs().EncapType == "ether" {
			names[l.Attrs().Index] = l.Attrs().Name
		}
	}
	all, err := dump.Addrs(nil)
	if err != nil {
		return n, fmt.Errorf("list addresses: %w", err)
	}
	seen := map[int]bool{}
	for _, a := range all {
		addr, _ := netip.AddrFromSlice(a.IP)
		addr = addr.Unmap()
		if addr.IsLoopback() {
			continue
		}
		n.addrs = append(n.addrs, addr)
		name, ether := names[a.LinkIndex]
		if !ether || seen[a.LinkIndex] {
			continue
		}
		d := lb.Device{Index: a.LinkIndex, Kind: lb.Uplink, Addr: addr}
		switch {
		case name == cfg.Bridge:
			d.Kind = lb.Bridge
		case addr != cfg.NodeIP && !slices.Contains(cfg.Uplinks, name):
			continue
		}
		seen[a.LinkIndex] = true
		n.devices = append(n.devices, d)
	}
	slices.SortFunc(n.addrs, netip.Addr.Compare)
	n.addrs = slices.Compact(n.addrs)
	slices.SortFunc(n.devices, func(x, y lb.Device) int { return cmp.Compare(x.Index, y.Index) })
	return n, nil
}

func (n network) apply(a Addresses, p Packets) error {
	if err := a.SetNodeAddrs(n.addrs); err != nil {
		return err
	}
	var errs []error
	for _, d := range n.devices {
		errs = append(errs, p.AttachDevice(d))
	}
	known, err := p.Devices()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, index := range known {
		if !slices.ContainsFunc(n.devices, func(d lb.Device) bool { return d.Index == index }) {
			errs = append(errs, p.DetachDevice(index))
		}
	}
	return errors.Join(errs...)
}

var (
	_ Addresses = (*lb.Addresses)(nil)
	_ Packets   = (*lb.Packets)(nil)
)
