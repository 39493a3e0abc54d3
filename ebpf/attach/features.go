package attach

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// A Need is one thing of the kernel without which a program is of no use.
type Need struct {
	what  string
	probe func() error
}

// Helper needs a helper function in programs of a type.
func Helper(t ebpf.ProgramType, fn asm.BuiltinFunc) Need {
	return Need{fmt.Sprintf("%v in %v programs", fn, t), func() error { return features.HaveProgramHelper(t, fn) }}
}

// MapType needs maps of a type.
func MapType(t ebpf.MapType) Need {
	return Need{fmt.Sprintf("%v maps", t), func() error { return features.HaveMapType(t) }}
}

// Check asks the running kernel, by trying, for all of them.
//
// # Errors
//
// An error wraps [ErrNotSupported] and names everything that is missing.
func Check(needs ...Need) error {
	var missing []error
	for _, n := range needs {
		err := n.probe()
		switch {
		case errors.Is(err, ebpf.ErrNotSupported):
			missing = append(missing, fmt.Errorf("no %s: %w", n.what, ErrNotSupported))
		case err != nil:
			return fmt.Errorf("probe %s: %w", n.what, err)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("kernel: %w", errors.Join(missing...))
	}
	return nil
}

// Have reports whether the kernel has what a program can do without.
func Have(n Need) bool { return n.probe() == nil }
