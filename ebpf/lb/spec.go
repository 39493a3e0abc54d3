package lb

import (
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Config is what a Balancer is made from. The zero value balances nothing's
// processes, pins nothing, and has the default sizes.
type Config struct {
	// PinDir is a directory for maps and links on a BPF file system; one is
	// mounted there if it is not. Empty: everything ends with the process.
	PinDir string
	// CgroupPath is the cgroup2 directory whose processes are translated, and
	// those below. Empty: no socket is.
	CgroupPath string
	// PodsPath is the cgroup2 directory of the node's pods, where CgroupPath
	// has processes of others below it: only the node's are refused what no
	// Service has. Empty: all are the node's.
	PodsPath string
	// NodeNetns is the cookie of the network namespace in which 127.0.0.1 means
	// this node. 0 means that of the calling thread.
	NodeNetns uint64
	// Classic attaches packets' programs by a clsact queueing discipline even
	// where the kernel has tcx.
	Classic bool
	Sizes   Sizes
}

// layout is the version of what the maps hold. One that changes a map in a way
// that [layout1] and its like must translate is the next one.
const layout = "v2"

// mapDir is this layout's: others may lie beside it.
func (c *Config) mapDir() string { return filepath.Join(c.PinDir, layout) }

// linkDir is "" when nothing is pinned. Links have one place in all layouts, so
// that any version finds what runs and puts its own programs there, in one step.
func (c *Config) linkDir() string {
	if c.PinDir == "" {
		return ""
	}
	return filepath.Join(c.PinDir, "links")
}

// Sizes are the numbers of entries that the maps hold. 0 means the default.
type Sizes struct {
	Frontends  uint32 // default 65,536
	Slots      uint32 // endpoints over all services; default 262,144
	Maglev     uint32 // services that choose so; default 4,096
	Flows      uint32 // tracked directions of translated packets; default 131,072
	Datagrams  uint32 // unconnected UDP; default 32,768
	Affinities uint32 // default 16,384
}

// A Spec is what will be asked of the kernel. It depends on the Config and on
// the features found, not on what is loaded.
type Spec struct {
	cfg        Config
	collection *ebpf.CollectionSpec
}

// LoadSpec reads the embedded programs and applies cfg and features to them.
func LoadSpec(cfg Config, f Features) (*Spec, error) {
	c, err := bpf.LoadLB()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	for name, n := range map[string]uint32{
		bpf.LBMapFrontends:  cfg.Sizes.Frontends,
		bpf.LBMapSlots:      cfg.Sizes.Slots,
		bpf.LBMapBackends:   cfg.Sizes.Slots,
		bpf.LBMapMaglev:     cfg.Sizes.Maglev,
		bpf.LBMapFlows:      cfg.Sizes.Flows,
		bpf.LBMapDatagrams:  cfg.Sizes.Datagrams,
		bpf.LBMapAffinities: cfg.Sizes.Affinities,
	} {
		if n > 0 {
			c.Maps[name].MaxEntries = n
		}
	}
	if cfg.PinDir == "" {
		for _, m := range c.Maps {
			m.Pinning = ebpf.PinNone
		}
	}
	pods, err := attach.CgroupID(cfg.PodsPath)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{
		bpf.LBVarHaveSetRetval:      flag(f.SetRetval),
		bpf.LBVarHaveAncestorCgroup: flag(f.AncestorCgroup),
		bpf.LBVarNodeNetns:          cfg.NodeNetns,
		bpf.LBVarPodsCgroup:         pods,
	} {
		if err := c.Variables[name].Set(value); err != nil {
			return nil, err
		}
	}
	return &Spec{cfg: cfg, collection: c}, nil
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// Features are those that a Balancer can do without.
type Features struct {
	// SetRetval lets a refused connect say ECONNREFUSED instead of EPERM.
	SetRetval bool
	// AncestorCgroup tells the processes of pods from others of the machine
	// (see Config.PodsPath); without, those in pods are not refused by the
	// programs what no Service has.
	AncestorCgroup bool
}

// Probe asks the running kernel.
//
// # Errors
//
// An error wraps [attach.ErrNotSupported] and names everything that is missing.
func Probe() (Features, error) {
	sockets := func(fn asm.BuiltinFunc) attach.Need { return attach.Helper(ebpf.CGroupSockAddr, fn) }
	packets := func(fn asm.BuiltinFunc) attach.Need { return attach.Helper(ebpf.SchedCLS, fn) }
	err := attach.Check(
		attach.MapType(ebpf.LRUHash),
		attach.MapType(ebpf.SkStorage),
		sockets(asm.FnSkStorageGet),
		sockets(asm.FnGetNetnsCookie),
		sockets(asm.FnGetSocketCookie),
		packets(asm.FnFibLookup),
		packets(asm.FnRedirectNeigh),
	)
	if err != nil {
		return Features{}, err
	}
	return Features{
		SetRetval:      attach.Have(sockets(asm.FnSetRetval)),
		AncestorCgroup: attach.Have(sockets(asm.FnGetCurrentAncestorCgroupId)),
	}, nil
}
