package plugin

import (
	"context"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

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

// Expecter is a Sink whose plugins decide: about requests, or where pods go. What
// a plugin would be asked about must not pass by while the plugin is not there,
// and a decision that began with a plugin must end with it: the loader never takes
// one away because the server stops. Whoever made the sink ends what it holds once
// nothing is asked any more.
type Expecter interface {
	Sink
	// Expect stands in for a plugin that is not there: while it is being loaded
	// for the first time, and when it could not be loaded. It is called instead
	// of, before or after Set, never beside it, and may be repeated.
	Expect(name string, e Expected) error
}

// Expected is what is known of a plugin that is not there.
type Expected struct {
	Spec v1alpha1.PluginSpec
	// Points that it serves, and what its admission points match by
	// themselves: as an earlier load of it saw them, or everything that its
	// Spec.Match leaves.
	Points wire.Point
	Match  []wire.Match
	// Err says why it cannot be loaded; nil while it is being loaded.
	Err error
}
