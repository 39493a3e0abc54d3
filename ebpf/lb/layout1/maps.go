package layout1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Maps are the pinned maps of this layout, open.
type Maps struct{ byName map[string]*ebpf.Map }

// ErrForeign says that what is pinned is not this layout, or not all of it.
var ErrForeign = errors.New("maps of another layout")

func dir(pinDir string) string { return filepath.Join(pinDir, "maps") }

// sizes are of keys and values: what has others is not this layout. Of the maps
// whose entries did not change since, the present types are asked.
var sizes = map[string][2]uintptr{
	bpf.LBMapFrontends:     {unsafe.Sizeof(FrontendKey{}), unsafe.Sizeof(bpf.LBFrontend{})},
	bpf.LBMapSlots:         {unsafe.Sizeof(bpf.LBSlotKey{}), 4},
	bpf.LBMapBackends:      {4, unsafe.Sizeof(Backend{})},
	bpf.LBMapMaglev:        {4, unsafe.Sizeof(bpf.LBMaglevTable{})},
	bpf.LBMapNodeAddrs:     {4, 4},
	bpf.LBMapDevices:       {4, unsafe.Sizeof(Device{})},
	bpf.LBMapServiceRanges: {unsafe.Sizeof(bpf.LBRangeKey{}), 4},
	bpf.LBMapAffinities:    {unsafe.Sizeof(AffinityKey{}), unsafe.Sizeof(bpf.LBAffinity{})},
	bpf.LBMapDatagrams:     {unsafe.Sizeof(DatagramKey{}), unsafe.Sizeof(Datagram{})},
	bpf.LBMapFlows:         {unsafe.Sizeof(Flow{}), unsafe.Sizeof(NAT{})},
	bpf.LBMapPeers:         {4, unsafe.Sizeof(Peer{})},
}

// Open opens what is pinned below pinDir.
//
// # Errors
//
// An error wraps [os.ErrNotExist] when nothing is, and [ErrForeign] when it
// cannot be read as this layout.
func Open(pinDir string) (*Maps, error) {
	if _, err := os.Stat(dir(pinDir)); err != nil {
		return nil, err
	}
	m := &Maps{byName: map[string]*ebpf.Map{}}
	for name, size := range sizes {
		one, err := ebpf.LoadPinnedMap(filepath.Join(dir(pinDir), name), nil)
		if errors.Is(err, os.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("no map %s: %w", name, ErrForeign), m.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open pinned map %s: %w", name, err), m.Close())
		}
		m.byName[name] = one
		if uintptr(one.KeySize()) != size[0] || uintptr(one.ValueSize()) != size[1] {
			return nil, errors.Join(fmt.Errorf("map %s: %w", name, ErrForeign), m.Close())
		}
	}
	return m, nil
}

// Frontends is the map that every program of the layout looks at.
func (m *Maps) Frontends() *ebpf.Map { return m.byName[bpf.LBMapFrontends] }

// Close gives up the process' hold on the maps.
func (m *Maps) Close() error {
	var errs []error
	for _, one := range m.byName {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// Remove unpins what Open would open. Programs that use the maps keep them.
func Remove(pinDir string) error { return os.RemoveAll(dir(pinDir)) }
