package lb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

type hook struct {
	name    string
	attach  ebpf.AttachType
	program *ebpf.Program
}

func (b *Balancer) cgroupHooks() []hook {
	o := &b.objects
	// The ways back first: a reply must find its way before a request goes.
	return []hook{
		{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, o.LbRecvmsg4},
		{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, o.LbRecvmsg6},
		{"getpeername4", ebpf.AttachCgroupInet4GetPeername, o.LbGetpeername4},
		{"getpeername6", ebpf.AttachCgroupInet6GetPeername, o.LbGetpeername6},
		{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, o.LbSendmsg4},
		{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, o.LbSendmsg6},
		{"connect4", ebpf.AttachCGroupInet4Connect, o.LbConnect4},
		{"connect6", ebpf.AttachCGroupInet6Connect, o.LbConnect6},
	}
}

// Attach translates the sockets of [Config.CgroupPath] from now on. Links that
// a predecessor pinned get this version's programs, each in one step. Beside
// programs of others on the same cgroup, all are run.
func (b *Balancer) Attach() error {
	if b.cfg.CgroupPath == "" {
		return nil
	}
	id, err := cgroupID(b.cfg.CgroupPath)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.cgroupHooks() {
		same := func(i *link.Info) bool {
			c := i.Cgroup()
			return c != nil && c.CgroupId == id
		}
		err := b.attach(h.name, h.program, same, func() (link.Link, error) {
			return link.AttachCgroup(link.CgroupOptions{Path: b.cfg.CgroupPath, Attach: h.attach, Program: h.program})
		})
		if err != nil {
			return fmt.Errorf("attach %s to %s: %w", h.name, b.cfg.CgroupPath, err)
		}
	}
	return nil
}

func (b *Balancer) linkPath(name string) string {
	return filepath.Join(b.cfg.PinDir, "links", name)
}

// attach updates the link that has this name, or makes one. A link whose target
// is not the same as the wanted one is replaced: cgroups and devices come and go
// under one name. b.mu is held.
func (b *Balancer) attach(name string, p *ebpf.Program, same func(*link.Info) bool, make func() (link.Link, error)) error {
	if l := b.existing(name); l != nil {
		info, err := l.Info()
		if err == nil && same(info) {
			b.links[name] = l
			return l.Update(p)
		}
		delete(b.links, name)
		if err := errors.Join(l.Unpin(), l.Close()); err != nil {
			return fmt.Errorf("drop a stale link: %w", err)
		}
	}
	l, err := make()
	if err != nil {
		return err
	}
	if b.cfg.PinDir != "" {
		if err := os.MkdirAll(filepath.Join(b.cfg.PinDir, "links"), 0o700); err != nil {
			return errors.Join(err, l.Close())
		}
		if err := l.Pin(b.linkPath(name)); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	b.links[name] = l
	return nil
}

// existing returns the open or the pinned link of this name, or nil. A pin that
// cannot be opened is removed, since a new link wants its place.
func (b *Balancer) existing(name string) link.Link {
	if l := b.links[name]; l != nil {
		return l
	}
	if b.cfg.PinDir == "" {
		return nil
	}
	l, err := link.LoadPinnedLink(b.linkPath(name), nil)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(b.linkPath(name)) // if this fails, Pin says so
		}
		return nil
	}
	return l
}

// drop detaches the link of this name, if there is one. b.mu is held.
func (b *Balancer) drop(name string) error {
	l := b.existing(name)
	if l == nil {
		return nil
	}
	delete(b.links, name)
	return errors.Join(l.Unpin(), l.Close())
}
