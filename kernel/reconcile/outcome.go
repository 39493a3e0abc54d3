package reconcile

import "github.com/pintle-io/pintle/sdk/wire"

// result says how a reconcile ended; it is the metric's label.
type result string

const (
	success result = "success"
	// retried lost a race: what it read was changed, made, or gone by the time
	// it wrote, or the namespace is going. The next look sees that, and nobody
	// needs to know. So does what cannot be made because its namespace is going,
	// however long that takes.
	retried result = "retry"
	failed  result = "error"
)

// raceLimit is how many times in a row a race may be lost before it counts as a
// failure: back-off has grown to seconds by then, and a race would be over.
const raceLimit = 10

// outcome classes the error of a reconcile; inARow counts this one too.
func outcome(err error, inARow int) result {
	switch {
	case err == nil:
		return success
	case wire.KindOf(err) == wire.KindTerminating, wire.KindOf(err).Race() && inARow <= raceLimit:
		return retried
	}
	return failed
}
