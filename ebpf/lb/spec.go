package lb

import (
	"fmt"

	"github.com/cilium/ebpf"

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
	// NodeNetns is the cookie of the network namespace in which 127.0.0.1 means
	// this node. 0 means that of the calling thread.
	NodeNetns uint64
	// Classic attaches packets' programs by a clsact queueing discipline even
	// where the kernel has tcx.
	Classic bool
	Sizes   Sizes
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
	setRetval := uint8(0)
	if f.SetRetval {
		setRetval = 1
	}
	if err := c.Variables[bpf.LBVarHaveSetRetval].Set(setRetval); err != nil {
		return nil, err
	}
	if err := c.Variables[bpf.LBVarNodeNetns].Set(cfg.NodeNetns); err != nil {
		return nil, err
	}
	return &Spec{cfg: cfg, collection: c}, nil
}
