package lbtest

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/ebpf/lb/layout1"
)

// Layout1 are the programs and maps of the last version with layout 1, as its
// agents loaded them.
//
//go:embed layout1.o
var Layout1 []byte

// OldVersion does what an agent with layout 1 leaves in the kernel: its objects,
// pinned and attached where it pinned and attached them.
type OldVersion struct {
	t    *testing.T
	dir  string
	maps map[string]*ebpf.Map
	next uint32 // id of a service or backend
}

// StartOld loads the old programs; what is pinned already is used. Its sockets
// are those of cgroup, its devices get filters or tcx links.
func StartOld(t *testing.T, dir, cgroup string, classic bool, devices ...lb.Device) *OldVersion {
	t.Helper()
	if err := attach.Mount(dir); err != nil {
		t.Fatal(err)
	}
	maps := filepath.Join(dir, "maps")
	if err := errors.Join(os.MkdirAll(maps, 0o700), os.MkdirAll(filepath.Join(dir, "links"), 0o700)); err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(Layout1))
	if err != nil {
		t.Fatal(err)
	}
	netns, err := attach.NetnsCookie()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{"node_netns": netns, "have_set_retval": uint8(1), "have_ancestor_cgroup": uint8(1)} {
		if err := spec.Variables[name].Set(v); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: maps}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { // the agent dies
		for _, p := range c.Programs {
			p.Close()
		}
	}()
	o := &OldVersion{t: t, dir: dir, maps: c.Maps, next: 1}
	t.Cleanup(o.close)
	if cgroup != "" {
		for name, at := range map[string]ebpf.AttachType{
			"recvmsg4": ebpf.AttachCGroupUDP4Recvmsg, "recvmsg6": ebpf.AttachCGroupUDP6Recvmsg,
			"getpeername4": ebpf.AttachCgroupInet4GetPeername, "getpeername6": ebpf.AttachCgroupInet6GetPeername,
			"sendmsg4": ebpf.AttachCGroupUDP4Sendmsg, "sendmsg6": ebpf.AttachCGroupUDP6Sendmsg,
			"connect4": ebpf.AttachCGroupInet4Connect, "connect6": ebpf.AttachCGroupInet6Connect,
		} {
			p := c.Programs["lb_"+name]
			o.attach(name, p, func() (link.Link, error) {
				return link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: at, Program: p})
			})
		}
	}
	for _, d := range devices {
		o.put("devices", uint32(d.Index), layout1.Device{Addr: v1Addr(d.Addr), Kind: uint32(d.Kind)})
		o.put("node_addrs", uint32(v1Addr(d.Addr)), uint32(1))
		if classic {
			if err := (attach.Classic{Name: "pintle_lb", Handle: 1}).Attach(d.Index, c.Programs["lb_ingress"], c.Programs["lb_egress"]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for way, at := range map[string]ebpf.AttachType{"egress": ebpf.AttachTCXEgress, "ingress": ebpf.AttachTCXIngress} {
			p := c.Programs["lb_"+way]
			o.attach(fmt.Sprintf("tc-%d-%s", d.Index, way), p, func() (link.Link, error) {
				return link.AttachTCX(link.TCXOptions{Interface: d.Index, Program: p, Attach: at})
			})
		}
	}
	return o
}

// attach is what every version does with a hook: the link that has this name
// gets the program, or a new one is pinned.
func (o *OldVersion) attach(name string, p *ebpf.Program, make func() (link.Link, error)) {
	o.t.Helper()
	path := filepath.Join(o.dir, "links", name)
	l, err := link.LoadPinnedLink(path, nil)
	if err == nil {
		err = errors.Join(l.Update(p), l.Close())
	} else if l, err = make(); err == nil {
		err = errors.Join(l.Pin(path), l.Close())
	}
	if err != nil {
		o.t.Fatalf("%s: %v", name, err)
	}
}

func (o *OldVersion) put(name string, k, v any) {
	o.t.Helper()
	if err := o.maps[name].Put(k, v); err != nil {
		o.t.Fatalf("%s: %v", name, err)
	}
}

// Serve writes a service as the old agent did.
func (o *OldVersion) Serve(s lb.Service) {
	o.t.Helper()
	proto := uint8(s.Frontends[0].Proto)
	f := bpf.LBFrontend{Service: o.next, Count: uint16(len(s.Backends))}
	o.next++
	if s.Affinity > 0 {
		f.Flags, f.AffinitySeconds = uint16(bpf.LBFrontendFlagFRONTEND_AFFINITY), uint32(s.Affinity.Seconds())
	}
	for i, be := range s.Backends {
		v := layout1.Backend{Addr: v1Addr(be.Addr.Addr()), Port: v1Port(be.Addr.Port()), Proto: proto}
		if be.Local {
			v.Flags = uint8(bpf.LBBackendFlagBACKEND_LOCAL)
		}
		o.put("backends", o.next, v)
		o.put("slots", bpf.LBSlotKey{Service: f.Service, Slot: uint32(i)}, o.next)
		o.next++
	}
	for _, fe := range s.Frontends {
		o.put("frontends", layout1.FrontendKey{Addr: v1Addr(fe.Addr.Addr()), Port: v1Port(fe.Addr.Port()), Proto: proto, Scope: uint8(fe.Scope)}, f)
	}
}

func (o *OldVersion) close() {
	for _, m := range o.maps {
		m.Close()
	}
}

func v1Addr(a netip.Addr) layout1.Addr {
	b := a.As4()
	return layout1.Addr(binary.NativeEndian.Uint32(b[:]))
}

func v1Port(p uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, p))
}
