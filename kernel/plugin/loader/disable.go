package loader

import (
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// DisableAll, among Config.Disabled, disables every plugin that does not ship
// with Pintle. What ships is disabled by its name only: a cluster without it
// does nothing.
const DisableAll = "all"

// disabled are the names of Config.Disabled.
type disabled []string

// has tells whether this server was told not to run a plugin; ships is whether
// it runs what this binary brought.
func (d disabled) has(name string, ships bool) bool {
	return slices.Contains(d, name) || slices.Contains(d, DisableAll) && !ships
}

// unknown are the names that no plugin has: a typing error would leave the
// operator locked out without a word.
func (d disabled) unknown(known func(name string) bool) []string {
	return slices.DeleteFunc(slices.Clone(d), func(name string) bool { return name == DisableAll || known(name) })
}

// disable leaves a plugin out. It is a hole that somebody made on purpose: the
// log, the status and an event say so.
func (l *Loader) disable(e *entry) {
	defer l.first.ended(e.object.Name)
	if e.observed = e.object.Generation; e.phase == v1alpha1.Disabled {
		return
	}
	message := fmt.Sprintf("the server was started with --disable-plugin: %s is not run, and nothing is asked of it", e.object.Name)
	e.set(v1alpha1.Disabled, message)
	l.Log.Warn("plugin disabled", "plugin", e.object.Name, "points", e.object.Status.Points)
	l.events.note(e.object, reasonDisabled, message)
}
