package lb

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// ErrNotSupported is wrapped by errors about what the kernel lacks.
var ErrNotSupported = ebpf.ErrNotSupported

// Features are those that a Balancer can do without.
type Features struct {
	// SetRetval lets a refused connect say ECONNREFUSED instead of EPERM.
	SetRetval bool
	// AncestorCgroup tells the processes of pods from others of the machine
	// (see Config.PodsPath); without, those in pods are not refused by the
	// programs what no Service has.
	AncestorCgroup bool
}

// need is one thing without which nothing works.
type need struct {
	what  string
	probe func() error
}

func needs() []need {
	helper := func(t ebpf.ProgramType, fn asm.BuiltinFunc) need {
		return need{fmt.Sprintf("%v in %v programs", fn, t), func() error { return features.HaveProgramHelper(t, fn) }}
	}
	mapType := func(t ebpf.MapType) need {
		return need{fmt.Sprintf("%v maps", t), func() error { return features.HaveMapType(t) }}
	}
	return []need{
		mapType(ebpf.LRUHash),
		mapType(ebpf.SkStorage),
		helper(ebpf.CGroupSockAddr, asm.FnSkStorageGet),
		helper(ebpf.CGroupSockAddr, asm.FnGetNetnsCookie),
		helper(ebpf.CGroupSockAddr, asm.FnGetSocketCookie),
		helper(ebpf.SchedCLS, asm.FnFibLookup),
		helper(ebpf.SchedCLS, asm.FnRedirectNeigh),
	}
}

// Probe asks the running kernel, by trying, never by its version.
//
// # Errors
//
// An error wraps [ErrNotSupported] and names everything that is missing.
func Probe() (Features, error) {
	var missing []error
	for _, n := range needs() {
		err := n.probe()
		switch {
		case errors.Is(err, ebpf.ErrNotSupported):
			missing = append(missing, fmt.Errorf("no %s: %w", n.what, ErrNotSupported))
		case err != nil:
			return Features{}, fmt.Errorf("probe %s: %w", n.what, err)
		}
	}
	if len(missing) > 0 {
		return Features{}, fmt.Errorf("kernel: %w", errors.Join(missing...))
	}
	have := func(fn asm.BuiltinFunc) bool { return features.HaveProgramHelper(ebpf.CGroupSockAddr, fn) == nil }
	return Features{SetRetval: have(asm.FnSetRetval), AncestorCgroup: have(asm.FnGetCurrentAncestorCgroupId)}, nil
}
