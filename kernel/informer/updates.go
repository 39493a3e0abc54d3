package informer

import (
	"context"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Update is what Updates sends: all objects anew, or events.
type Update struct {
	Replace bool
	Objects []*watch.Object // when Replace
	Events  []watch.Event   // else
}

// maxEvents bounds the events of one Update.
const maxEvents = 256

// Updates is a Handler that sends what it is told to whoever receives. How much
// may wait there is the channel's capacity; what waits counts as told.
type Updates chan Update

// Replace implements Handler.
func (u Updates) Replace(ctx context.Context, l *registry.List) {
	u.send(ctx, Update{Replace: true, Objects: l.Items})
}

// Apply implements Handler.
func (u Updates) Apply(ctx context.Context, events []watch.Event) {
	for len(events) > 0 && ctx.Err() == nil {
		n := min(len(events), maxEvents)
		u.send(ctx, Update{Events: append([]watch.Event(nil), events[:n]...)})
		events = events[n:]
	}
}

func (u Updates) send(ctx context.Context, x Update) {
	select {
	case u <- x:
	case <-ctx.Done():
	}
}

var _ Handler = Updates(nil)
