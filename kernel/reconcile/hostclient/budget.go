package hostclient

import (
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/sdk/wire"
)

// Bounds of what one plugin, over all its instances, does to the store. A store
// on a fast disk takes some 10,000 writes a second of all of them.
const (
	// DefaultWrites is how many objects a plugin may write a second, unless its
	// Plugin resource says otherwise.
	DefaultWrites = 500
	// writeBurst is for how many seconds' worth it may have saved up: a
	// Deployment that is scaled to thousands is one burst.
	writeBurst = 20
	// bytesPerWrite bounds the sum of what is sent with the writes. Most objects
	// are smaller, and one that is larger uses up what others left.
	bytesPerWrite = 16 << 10
	// byteBurst is for how many seconds' worth of bytes it may have saved up, but
	// as many as one object may have in any case.
	byteBurst     = 8
	minBytesBurst = 4 << 20
	// eventRate is how many events a second a plugin may record, and eventBurst
	// how many at once: of an hour, after which they go, 37,000 are left.
	eventRate, eventBurst = 10, 1000
)

// Budget is what a plugin may still write. It is shared by its instances and
// safe for concurrent use; a nil one has no bounds.
type Budget struct {
	clock                  clock.PassiveClock
	writes, byteBurst      int
	objects, bytes, events *rate.Limiter
}

// NewBudget makes the budget of a plugin that may write so many objects a
// second; 0 is DefaultWrites.
func NewBudget(writes int, c clock.PassiveClock) *Budget {
	if writes <= 0 {
		writes = DefaultWrites
	}
	burst := max(writes*bytesPerWrite*byteBurst, minBytesBurst)
	return &Budget{clock: c, writes: writes, byteBurst: burst,
		objects: rate.NewLimiter(rate.Limit(writes), writes*writeBurst),
		bytes:   rate.NewLimiter(rate.Limit(writes*bytesPerWrite), burst),
		events:  rate.NewLimiter(eventRate, eventBurst),
	}
}

// write takes n objects and their bytes out of the budget.
//
// # Errors
//   - wire.ErrTooMany: they are more than is left; nothing was taken
func (b *Budget) write(plugin string, n, bytes int) error {
	if b == nil || n == 0 {
		return nil
	}
	now := b.clock.Now()
	if !b.objects.AllowN(now, n) {
		return wire.Errorf(wire.KindTooMany, "plugin %s writes too much: %d objects a second are allowed, %d at once; spec.limits.writesPerSecond of the Plugin raises it",
			plugin, b.writes, b.writes*writeBurst)
	}
	if !b.bytes.AllowN(now, bytes) {
		return wire.Errorf(wire.KindTooMany, "plugin %s writes too much: %d bytes a second are allowed, %d at once; spec.limits.writesPerSecond of the Plugin raises it",
			plugin, b.writes*bytesPerWrite, b.byteBurst)
	}
	return nil
}

// event takes an event out of the budget.
func (b *Budget) event(plugin string) error {
	if b == nil || b.events.AllowN(b.clock.Now(), 1) {
		return nil
	}
	return wire.Errorf(wire.KindTooMany, "plugin %s records too many events: %d a second are allowed, %d at once", plugin, eventRate, eventBurst)
}
