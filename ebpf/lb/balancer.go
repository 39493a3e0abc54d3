package lb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
)

// A Balancer is the load balancer of one node, live in the kernel: the tables of
// services, the hooks that read them, and what is noted of the node. Each part
// owns its maps and its lock; the Balancer loads and closes what they share.
type Balancer struct {
	Table       *Table
	Addresses   *Addresses
	Sockets     *Sockets
	Packets     *Packets
	Reconnector *Reconnector

	cfg     Config
	objects bpf.LBObjects
	links   *attach.Links

	mu  sync.Mutex
	old *predecessor // who is to be replaced; nil: nobody; guarded by mu
}

// Open loads the programs and opens or makes the maps. Nothing is attached
// that was not before: see [Sockets.Attach].
//
// # Errors
//
// An error wraps [attach.ErrNotSupported] when the kernel lacks something.
func Open(cfg Config) (*Balancer, error) {
	f, err := Probe()
	if err != nil {
		return nil, err
	}
	if cfg.NodeNetns == 0 {
		if cfg.NodeNetns, err = attach.NetnsCookie(); err != nil {
			return nil, err
		}
	}
	spec, err := LoadSpec(cfg, f)
	if err != nil {
		return nil, err
	}
	b := &Balancer{cfg: cfg, links: attach.NewLinks(cfg.linkDir())}
	if err := b.load(spec); err != nil {
		return nil, errors.Join(err, b.old.close(), b.objects.Close())
	}
	maps, programs := &b.objects.LBMaps, &b.objects.LBPrograms
	b.Reconnector = newReconnector(maps)
	b.Table = newTable(maps, b.Reconnector)
	b.Addresses = &Addresses{node: maps.NodeAddrs, ranges: maps.ServiceRanges}
	b.Sockets = &Sockets{cgroup: cfg.CgroupPath, programs: programs, links: b.links, takeOver: b.takeOver}
	b.Packets = &Packets{classicOnly: cfg.Classic, devices: maps.Devices, programs: programs, links: b.links, takeOver: b.takeOver}
	if err := b.Table.Reload(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if cfg.PinDir != "" && b.Table.empty() {
		b.Sockets.predecessor = filepath.Join(cfg.linkDir(), "connect4")
	}
	return b, nil
}

func (b *Balancer) load(spec *Spec) error {
	var opts ebpf.CollectionOptions
	if b.cfg.PinDir != "" {
		if err := attach.Mount(b.cfg.PinDir); err != nil {
			return err
		}
		var err error
		if b.old, err = findPredecessor(&b.cfg, b.links); err != nil {
			return err
		}
		opts.Maps.PinPath = b.cfg.mapDir()
		if err := os.MkdirAll(opts.Maps.PinPath, 0o700); err != nil {
			return err
		}
		if err := unpinIncompatible(spec, opts.Maps.PinPath); err != nil {
			return err
		}
	}
	if err := spec.collection.LoadAndAssign(&b.objects, &opts); err != nil {
		return fmt.Errorf("load programs: %w", err)
	}
	return b.old.tables(&b.objects.LBMaps)
}

// takeOver ends a predecessor whose maps have another layout, once: see
// [Sockets.Attach].
func (b *Balancer) takeOver() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.old == nil {
		return nil
	}
	t := takeover{old: b.old, maps: &b.objects.LBMaps, sockets: b.Sockets, packets: b.Packets, links: b.links}
	if err := t.run(); err != nil {
		return fmt.Errorf("take over from an older version: %w", err)
	}
	b.old = nil
	return nil
}

// unpinIncompatible removes the pins of all maps if one of them has another
// layout than this version wants: ids in one map mean something in the others.
// Programs that run keep the old maps until they are replaced.
func unpinIncompatible(spec *Spec, dir string) error {
	stale := false
	for name, want := range spec.collection.Maps {
		if want.Pinning != ebpf.PinByName {
			continue
		}
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open pinned map %s: %w", name, err)
		}
		stale = stale || want.Compatible(m) != nil
		m.Close()
	}
	if !stale {
		return nil
	}
	for name, m := range spec.collection.Maps {
		if m.Pinning != ebpf.PinByName {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close gives up the process' hold on the kernel's objects. What is pinned
// stays and works.
func (b *Balancer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.links.Close(), b.Reconnector.walk.close(), b.old.close(), b.objects.Close())
}

// Remove takes everything of a Balancer with this PinDir out of the kernel:
// links, programs, maps, and the file system that Open mounted. It works
// whether or not its process lives, and on nothing at all. Filters that a
// Classic one attached are taken off the devices of the calling thread's
// network namespace.
func Remove(pinDir string) error {
	if err := (attach.Classic{Name: classicName}).DetachAll(); err != nil {
		return err
	}
	if pinDir == "" {
		return nil
	}
	ok, err := attach.Mounted(pinDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || !ok {
		return err
	}
	cfg := Config{PinDir: pinDir}
	errs := []error{attach.RemoveLinks(cfg.linkDir())}
	pins, err := os.ReadDir(pinDir)
	for _, layout := range pins {
		if layout.IsDir() { // else it is the file system's
			errs = append(errs, os.RemoveAll(filepath.Join(pinDir, layout.Name())))
		}
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	return attach.Unmount(pinDir)
}
