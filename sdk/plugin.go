package sdk

import (
	"fmt"
	"sort"
	"sync"
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
	// times and must have no side effects.
	New func(config []byte) (*Points, error)
}

// Points are the extension points that an instance serves. A nil field is not
// served and costs nothing.
type Points struct {
	// Scope tells what Filter and Score depend on; see [Scope].
	Scope Scope

	// PreFilter runs once per pod before Filter. Nil status: go on. [Skip]:
	// this plugin's Filter need not run for this pod. [Unschedulable]: no node
	// fits.
	PreFilter func(*Pod, *Snapshot) *Status
	// Filter tells whether the pod fits one node; nil status: it does.
	Filter func(*Pod, Node) *Status
	// FilterAll is the hot form of Filter over many nodes with vector
	// operations. When set, Filter is not called.
	FilterAll func(*Cycle)
	// PreScore runs once per pod before Score. [Skip] is allowed.
	PreScore func(*Pod, *Snapshot) *Status
	// Score ranks one node for the pod, 0 to 100.
	Score func(*Pod, Node) int64
	// ScoreAll is the hot form of Score. When set, Score is not called.
	ScoreAll func(*Cycle)
	// Normalize sees the scores of all feasible nodes and may change them.
	Normalize func(*Pod, *Scores)
	// Scaling says how raw scores become 0..100 when Normalize is not set.
	Scaling Scaling
	// Events are the changes after which a pod that this plugin rejected is
	// tried again; 0 means any.
	Events Event
	// Members, when set, are scheduling plugins that are asked together in
	// place of the fields above; see [Member].
	Members []Member

	// Mutate may change an object with [Review.Set] and [Review.Remove] before
	// it is validated and stored.
	Mutate func(*Review) error
	// Validate may refuse an object with [Review.Deny]. An error returned is a
	// fault of the plugin, answered by its failure policy.
	Validate func(*Review) error
	// Match selects the requests that Mutate and Validate see. Empty: every
	// create and update of every resource. A Plugin resource may narrow it
	// further, never widen it.
	Match []MatchRule

	// Controller is set by a plugin that reconciles.
	Controller *Controller

	// Close, when set, is called before the instance is discarded in order.
	// It is not called after a fault.
	Close func()
}

// Scope says what the verdicts of a plugin depend on. The kernel remembers
// node-local verdicts per pod shape and node revision.
type Scope uint8

// The scopes.
const (
	// NodeLocal verdicts depend on the pod and one node's row only.
	NodeLocal Scope = iota
	// Cluster verdicts may depend on every node.
	Cluster
)

func (s Scope) String() string {
	if s == Cluster {
		return "Cluster"
	}
	return "NodeLocal"
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
