package loader

import (
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// DisableAll, among Config.Disabled, disables every plugin that does not ship
// with Pintle. What ships is disabled by its name only: a cluster without it
// does nothing.
const DisableAll = "all"

// disabled tells whether this server was told not to run a plugin.
func (l *Loader) disabled(p *v1alpha1.Plugin) bool {
	return slices.Contains(l.Disabled, p.Name) || slices.Contains(l.Disabled, DisableAll) && !l.shipped(p)
}

// shipped tells that a Plugin resource runs what this binary brought.
func (l *Loader) shipped(p *v1alpha1.Plugin) bool {
	if p.Spec.Host == v1alpha1.HostNative {
		return slices.ContainsFunc(l.Builtins, func(b plugin.Builtin) bool {
			return b.Name == p.Name && b.Spec.Host == v1alpha1.HostNative && b.Spec.Plugin == p.Spec.Plugin
		})
	}
	_, ok := l.builtin[p.Spec.Digest]
	return ok
}

// disable leaves a plugin out. It is a hole that somebody made on purpose: the
// log, the status and an event say so.
func (l *Loader) disable(e *entry) {
	defer l.first.ended(e.object.Name)
	if e.observed = e.object.Generation; e.phase == v1alpha1.Disabled {
		return
	}
	message := fmt.Sprintf("the server was started with --disable-plugin: %s is not run, and nothing is asked of it", e.object.Name)
	l.set(e, v1alpha1.Disabled, message)
	l.Log.Warn("plugin disabled", "plugin", e.object.Name, "points", e.object.Status.Points)
	l.events.note(e.object, reasonDisabled, message)
}

// unknownDisabled are the names that no plugin has: a typing error would leave
// the operator locked out without a word.
func (l *Loader) unknownDisabled() []string {
	return slices.DeleteFunc(slices.Clone(l.Disabled), func(name string) bool { return name == DisableAll || l.entries[name] != nil })
}
