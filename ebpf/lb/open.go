package lb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// A Balancer is the load balancer of one node, live in the kernel.
type Balancer struct {
	cfg     Config
	objects bpf.LBObjects
	fresh   bool // no service was found
	walk    walk
	strays  chan struct{} // of one place: there may be stray sockets
	parked  atomic.Bool   // some wait for a backend

	mu    sync.Mutex
	table table                // guarded by mu
	links map[string]link.Link // by name; guarded by mu
}

// Open loads the programs and opens or makes the maps. Nothing is attached
// that was not before: see [Balancer.Attach].
//
// # Errors
//
// An error wraps [ErrNotSupported] when the kernel lacks something.
func Open(cfg Config) (*Balancer, error) {
	f, err := Probe()
	if err != nil {
		return nil, err
	}
	if cfg.NodeNetns == 0 {
		if cfg.NodeNetns, err = NetnsCookie(); err != nil {
			return nil, err
		}
	}
	spec, err := LoadSpec(cfg, f)
	if err != nil {
		return nil, err
	}
	b := &Balancer{cfg: cfg, links: map[string]link.Link{}, strays: make(chan struct{}, 1)}
	if err := b.load(spec); err != nil {
		return nil, err
	}
	b.walk = openWalk(&b.objects)
	b.poke() // a predecessor may have died before it looked
	if err := b.Reload(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.fresh = len(b.table.owners) == 0
	return b, nil
}

// Fresh reports whether Open found no service in the kernel.
func (b *Balancer) Fresh() bool { return b.fresh }

// Stale reports whether sockets are translated by a predecessor's programs from
// maps that Open could not take over. They serve what they know until Attach.
func (b *Balancer) Stale() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fresh || len(b.links) > 0 || b.cfg.PinDir == "" {
		return false
	}
	_, err := os.Stat(b.linkPath("connect4"))
	return err == nil
}

func (b *Balancer) load(spec *Spec) error {
	var opts ebpf.CollectionOptions
	if b.cfg.PinDir != "" {
		if err := mountBPFFS(b.cfg.PinDir); err != nil {
			return err
		}
		opts.Maps.PinPath = filepath.Join(b.cfg.PinDir, "maps")
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
	return nil
}

// unpinIncompatible removes the pins of all maps if one of them has another
// shape than this version wants: ids in one map mean something in the others.
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
	var errs []error
	for name, l := range b.links {
		errs = append(errs, l.Close())
		delete(b.links, name)
	}
	return errors.Join(append(errs, b.walk.close(), b.objects.Close())...)
}

// NetnsCookie returns the cookie of the calling thread's network namespace.
func NetnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("cookie of the network namespace: %w", err)
	}
	return c, nil
}
