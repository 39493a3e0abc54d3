package plugin

import "context"

// Sink is a consumer of plugins: the scheduler, the admission chain, the
// reconcile manager. Calls for one name come one after another, calls for
// different names at the same time.
type Sink interface {
	// Set gives a plugin, or another version of one that was given before.
	// When it returns, new work goes to p; work under way ends with the
	// version that it began with. An error leaves the version before in place.
	Set(ctx context.Context, name string, p *Plugin) error
	// Remove takes a plugin away.
	Remove(name string)
}
