package sdk

import (
	"fmt"
	"sort"
	"sync"

	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Plugin is one named plugin of a module. A module may register several; an
// instance opens one of them.
type Plugin struct {
	// Name is how a Plugin resource refers to it: a DNS label.
	Name string
	// Version is free text for people; "" when there is none.
	Version string
	// New makes the points of one instance. config is the Plugin resource's
	// spec.config as JSON, empty when there is none. It may be called many
	// times and must have no side effects. Nil points serve nothing.
	New func(config []byte) (Points, error)
}

// Value is a read-only view of an object or a part of it; see [record.Value].
type Value = record.Value

// Points are the extension points that an instance serves, of one kind:
// *scheduling.Points, *admission.Points, *controller.Points or *conversion.Points,
// each from the package of that name below this one, or several of them by [Join].
type Points interface {
	// Open is called by the hosts; see package sdk/wire/guest.
	Open(instance.Host) instance.Instance
}

// registry holds what the init functions of this binary registered. It is the
// only state of the package: init order is the reason why it cannot be passed
// in.
var registry struct {
	sync.Mutex
	plugins map[string]Plugin
}

// Register makes a plugin known. It is called from init and panics on a
// missing name or constructor, or a name registered twice.
func Register(p Plugin) {
	registry.Lock()
	defer registry.Unlock()
	if p.Name == "" || p.New == nil {
		panic("sdk.Register: a plugin needs a name and New")
	}
	if _, ok := registry.plugins[p.Name]; ok {
		panic(fmt.Sprintf("sdk.Register: plugin %q is registered twice", p.Name))
	}
	if registry.plugins == nil {
		registry.plugins = map[string]Plugin{}
	}
	registry.plugins[p.Name] = p
}

// Lookup finds a registered plugin by name.
func Lookup(name string) (Plugin, bool) {
	registry.Lock()
	defer registry.Unlock()
	p, ok := registry.plugins[name]
	return p, ok
}

// Registered lists the plugins of this binary by name.
func Registered() []Plugin {
	registry.Lock()
	defer registry.Unlock()
	out := make([]Plugin, 0, len(registry.plugins))
	for _, p := range registry.plugins {
		out = append(out, p)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
