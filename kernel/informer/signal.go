package informer

import (
	"context"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Signal is a Handler for those who look at everything again whenever something
// has changed: several changes are one token. Its capacity must be 1.
type Signal chan struct{}

// Replace implements Handler.
func (s Signal) Replace(context.Context, *registry.List) { s.Raise() }

// Apply implements Handler.
func (s Signal) Apply(context.Context, []watch.Event) { s.Raise() }

// Raise is for those who have another reason.
func (s Signal) Raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}

var _ Handler = Signal(nil)
