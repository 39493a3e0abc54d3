package evaluate

import (
	"errors"

	"github.com/pintle-io/pintle/sdk/wire"
)

// wrongAnswer is a fault that the scheduler found in an answer, which those who
// count the plugin's faults do not know of yet.
type wrongAnswer struct{ error }

func (w wrongAnswer) Unwrap() error { return w.error }

func wrongf(format string, args ...any) error {
	return wrongAnswer{wire.Errorf(wire.KindProtocol, format, args...)}
}

// isFault tells whether the instance must be replaced after the error.
func isFault(err error) bool {
	for _, k := range []error{wire.ErrTrap, wire.ErrDeadline, wire.ErrMemory, wire.ErrProtocol, wire.ErrABI, wire.ErrClosed} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}
