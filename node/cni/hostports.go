package cni

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/node/cni/ipam"
	"github.com/pintle-io/pintle/node/service"
)

// followHostPorts serves the host ports that the plugin writes down, from what
// is there at start until ctx ends.
func (n *Network) followHostPorts(ctx context.Context) error {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("follow %s: %w", n.cfg.DataDir, err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	stop := context.AfterFunc(ctx, func() { events.Close() })
	defer stop()
	if _, err := unix.InotifyAddWatch(fd, n.cfg.DataDir, unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_ONLYDIR); err != nil {
		return errors.Join(fmt.Errorf("follow %s: %w", n.cfg.DataDir, err), events.Close())
	}
	n.allHostPorts()
	buf := make([]byte, 64<<10)
	for {
		k, err := events.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("follow %s: %w", n.cfg.DataDir, err)
		}
		names, lost := eventNames(buf[:k])
		if lost {
			n.allHostPorts()
		}
		for _, name := range names {
			n.hostPorts(name)
		}
	}
}

// eventNames reads the file names out of inotify events. lost says that the
// kernel dropped some.
func eventNames(b []byte) (names []string, lost bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask, size := binary.NativeEndian.Uint32(b[4:]), int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size > len(b) {
			return names, true
		}
		lost = lost || mask&unix.IN_Q_OVERFLOW != 0
		if name := strings.TrimRight(string(b[:size]), "\x00"); name != "" {
			names = append(names, name)
		}
		b = b[size:]
	}
	return names, lost
}

// allHostPorts serves those of every record.
func (n *Network) allHostPorts() {
	records, err := ipam.List(n.cfg.DataDir)
	if err != nil {
		n.cfg.Log.Error("read host ports", "error", err)
	}
	for _, r := range records {
		n.serveHostPorts(r)
	}
}

// hostPorts looks at one record that came, changed or went.
func (n *Network) hostPorts(name string) {
	if r, ok := ipam.ParseName(name); ok {
		n.serveHostPorts(r)
	}
}

func (n *Network) serveHostPorts(r ipam.Record) {
	d, err := ipam.ReadDetails(n.cfg.DataDir, r)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.cfg.Log.Error("read host ports", "container", r.Container, "error", err)
		return
	}
	if err := n.cfg.HostPorts.SetHostPorts(r.Container+" "+r.Interface, hostPortsOf(r, d.Ports)); err != nil {
		n.cfg.Log.Error("serve host ports", "container", r.Container, "error", err)
	}
}

func hostPortsOf(r ipam.Record, ports []ipam.Port) []service.HostPort {
	var out []service.HostPort
	for _, p := range ports {
		hp := service.HostPort{HostPort: p.HostPort, Proto: lb.TCP, Pod: netip.AddrPortFrom(r.Addr, p.ContainerPort)}
		switch strings.ToLower(p.Protocol) {
		case "tcp", "":
		case "udp":
			hp.Proto = lb.UDP
		default:
			continue
		}
		if p.HostIP != "" {
			a, err := netip.ParseAddr(p.HostIP)
			if err != nil || !a.Unmap().Is4() {
				continue
			}
			hp.Host = a.Unmap()
		}
		if p.HostPort > 0 {
			out = append(out, hp)
		}
	}
	return out
}
