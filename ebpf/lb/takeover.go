package lb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
	"github.com/pintle-io/pintle/ebpf/lb/layout1"
)

// older are the maps of a layout before this one, open.
type older interface {
	// CopyTables copies what user space wrote, while no program of ours runs.
	CopyTables(to *bpf.LBMaps) error
	// CopyLive copies what its programs noted of clients; what ours noted later
	// is kept. Both may be running.
	CopyLive(to *bpf.LBMaps) error
	// CopyPeers copies what is kept with connected sockets, once ours alone
	// note it. An error wraps [attach.ErrNotSupported] when the kernel cannot
	// list them.
	CopyPeers(to *bpf.LBMaps) error
	// Frontends is the map that every program of the layout looks at.
	Frontends() *ebpf.Map
	Close() error
}

// olderLayout is where maps of a layout are found.
type olderLayout struct {
	// open fails with [os.ErrNotExist] when nothing is pinned, and with foreign
	// when what is pinned cannot be read.
	open    func(pinDir string) (older, error)
	remove  func(pinDir string) error
	foreign error
}

// olderLayouts are those that are taken over, newest first.
var olderLayouts = []olderLayout{
	{func(dir string) (older, error) {
		m, err := layout1.Open(dir)
		if err != nil {
			return nil, err
		}
		return m, nil
	}, layout1.Remove, layout1.ErrForeign},
}

// predecessor is what versions with other layouts of the maps left, whose
// programs run. There are several when a takeover was cut off and another
// version started. A nil one is nobody. RATIONALE.md: "Why does the data path
// have layouts with versions?"
type predecessor struct {
	pinDir string
	maps   []older // newest first; none: they cannot be read
	served bool    // our maps are in use already: a takeover was cut off
}

// findPredecessor looks for maps of older layouts. What lies in this layout's
// place and is used by no hook is then half made, or from before a downgrade:
// it is removed, to be made again from the older one.
func findPredecessor(cfg *Config, links *attach.Links) (*predecessor, error) {
	p := &predecessor{pinDir: cfg.PinDir}
	any, err := p.open()
	if !any || err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.maps, err = living(p.maps, func(m older) (bool, error) { return hooked(m.Frontends(), links) })
	if err == nil {
		p.served, err = used(filepath.Join(cfg.mapDir(), bpf.LBMapFrontends), links)
	}
	if err == nil && !p.served {
		err = os.RemoveAll(cfg.mapDir())
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// open opens the maps of all older layouts and reports whether there are any,
// readable or not.
func (p *predecessor) open() (any bool, err error) {
	for _, l := range olderLayouts {
		m, err := l.open(p.pinDir)
		switch {
		case err == nil:
			p.maps = append(p.maps, m)
		case errors.Is(err, os.ErrNotExist):
			continue
		case !errors.Is(err, l.foreign):
			return any, err
		}
		any = true
	}
	return any, nil
}

// living are those of the layouts whose programs run, newest first; if there are
// none, the newest alone: the others' are half made, or left of a takeover that
// had come to its end. It closes those that it leaves out.
func living(all []older, runs func(older) (bool, error)) (out []older, err error) {
	for _, m := range all {
		yes, err := runs(m)
		if err != nil {
			return all, err
		}
		if yes {
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		out = all[:min(len(all), 1)]
	}
	var errs []error
	for _, m := range all {
		if !slices.Contains(out, m) {
			errs = append(errs, m.Close())
		}
	}
	return out, errors.Join(errs...)
}

// used reports whether the program of some hook looks at the pinned map.
func used(pin string, links *attach.Links) (bool, error) {
	m, err := ebpf.LoadPinnedMap(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open pinned map %s: %w", filepath.Base(pin), err)
	}
	defer m.Close()
	return hooked(m, links)
}

// hooked does for a map that is open.
func hooked(m *ebpf.Map, links *attach.Links) (bool, error) {
	yes, err := links.Use(m)
	if yes || err != nil {
		return yes, err
	}
	return attach.Classic{Name: classicName}.Use(m)
}

// tables fills the maps with the services that the predecessor serves.
func (p *predecessor) tables(to *bpf.LBMaps) error {
	if p == nil || len(p.maps) == 0 || p.served {
		return nil
	}
	if err := p.maps[0].CopyTables(to); err != nil {
		return fmt.Errorf("copy services from an older version: %w", err)
	}
	return nil
}

func (p *predecessor) close() error {
	if p == nil {
		return nil
	}
	var errs []error
	for _, m := range p.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// remove unpins the maps of all older layouts.
func (p *predecessor) remove() error {
	var errs []error
	for _, l := range olderLayouts {
		errs = append(errs, l.remove(p.pinDir))
	}
	return errors.Join(errs...)
}

// takeover replaces a predecessor while connections go on. Its programs know
// its maps only, and note there what they do until they are replaced: so for a
// moment both versions run, ours first at devices, and what the old one noted
// meanwhile is copied before it goes. Cut off anywhere, what is pinned runs one
// version or both, each by maps that hold what it needs, and the next takeover
// goes on from that.
type takeover struct {
	old     *predecessor
	maps    *bpf.LBMaps
	sockets *Sockets
	packets *Packets
	links   *attach.Links
	filters []int // devices with classic filters
}

// besideSuffix marks the links that end with the takeover.
const besideSuffix = "-beside" // a BPF file system takes no dots

// onDevice is a pinned link to one direction of a device.
type onDevice struct {
	name  string
	index int
	way   attach.Direction
}

func (t *takeover) run() error {
	for _, step := range t.steps() {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (t *takeover) steps() []func() error {
	return []func() error{
		// Before anything of ours runs, so that a client that sends again meets
		// the backend that it had.
		t.copyLive,
		t.attachBeside,
		// New sockets and datagrams are noted in our maps from here on.
		func() error { return t.sockets.attach(t.sockets.there(), "") },
		t.copyLive,
		t.copyPeers,
		// Nothing is only in the old maps any more.
		t.replaceOld,
		func() error { return errors.Join(t.old.close(), t.old.remove()) },
	}
}

// copyLive has what a newer layout noted before what an older one did: the first
// is kept.
func (t *takeover) copyLive() error {
	for _, m := range t.old.maps {
		if err := m.CopyLive(t.maps); err != nil {
			return err
		}
	}
	return nil
}

func (t *takeover) copyPeers() error {
	for _, m := range t.old.maps {
		if err := m.CopyPeers(t.maps); err != nil && !errors.Is(err, attach.ErrNotSupported) {
			return err
		}
	}
	return nil
}

// attachBeside runs our programs beside the old ones where either may know a
// flow or a peer: at devices before them, so that new flows are ours.
func (t *takeover) attachBeside() error {
	if err := t.sockets.attach(t.sockets.back(), besideSuffix); err != nil {
		return err
	}
	names, err := t.links.Names()
	if err != nil {
		return err
	}
	// Egress first: a reply must find its way before a request goes.
	for _, way := range []attach.Direction{attach.Egress, attach.Ingress} {
		for _, name := range names {
			d := onDevice{name: name, way: way}
			if n, _ := fmt.Sscanf(name, "tc-%d-", &d.index); n != 1 || name != tcxName(d.index, way) {
				continue
			}
			if err := t.attachBefore(d); err != nil {
				return err
			}
		}
	}
	if t.filters, err = classic.Devices(); err != nil {
		return err
	}
	for _, index := range t.filters {
		if err := beside.Attach(index, t.packets.programs.LbIngress, t.packets.programs.LbEgress); err != nil {
			return err
		}
	}
	return nil
}

func (t *takeover) attachBefore(d onDevice) error {
	old, err := t.links.Pinned(d.name)
	if err != nil || old == nil {
		return err
	}
	defer old.Close()
	at := attach.TCX{Index: d.index, Way: d.way, Before: old}
	if on, err := attach.On(old, at); err != nil || !on {
		return err // the device is gone
	}
	return t.links.Attach(d.name+besideSuffix, at, t.packets.program(d.way))
}

// replaceOld leaves each hook with our program alone: a link beside an old one
// takes its name, which ends the old one.
func (t *takeover) replaceOld() error {
	names, err := t.links.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if final, ok := strings.CutSuffix(name, besideSuffix); ok {
			if err := t.links.Rename(name, final); err != nil {
				return err
			}
		}
	}
	for _, index := range t.filters {
		err := t.packets.attachClassic(index)
		if err = errors.Join(err, beside.Detach(index)); err != nil {
			return err
		}
	}
	return nil
}
