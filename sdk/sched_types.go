package sdk

import (
	"slices"

	"github.com/pintle-io/pintle/sdk/columns"
)

// MaxNodeScore is the highest score of a node after scaling.
const MaxNodeScore = 100

// Code is the outcome of a scheduling point.
type Code uint8

// The codes.
const (
	CodeFits Code = iota
	CodeSkip
	CodeUnschedulable
	CodeUnresolvable
)

// Status is the outcome of a scheduling point. Nil means that the node fits,
// or that the plugin has nothing to object. A Status is not changed after it
// was returned: keep those without variable parts in package variables, and
// the kernel recognizes them by address.
type Status struct {
	Code    Code
	Reasons []string // each counted by itself in the message for people
	// Nodes, of a PreFilter, are the only nodes that can fit; see [Only].
	Nodes []string
}

// Unschedulable says that the pod does not fit now; removing other pods may
// help. Each reason reads as in "3 Insufficient cpu".
func Unschedulable(reasons ...string) *Status {
	return &Status{Code: CodeUnschedulable, Reasons: reasons}
}

// UnschedulableAndUnresolvable says that the pod does not fit, and that
// removing other pods cannot help.
func UnschedulableAndUnresolvable(reasons ...string) *Status {
	return &Status{Code: CodeUnresolvable, Reasons: reasons}
}

// Skip says, from PreFilter or PreScore, that this plugin has nothing to do
// for this pod: its Filter or Score is not called.
func Skip() *Status { return skip }

// Only says, from PreFilter, that no other node than these can fit.
func Only(nodes ...string) *Status { return &Status{Nodes: nodes} }

var skip = &Status{Code: CodeSkip}

// Rejected tells whether the status says that the pod does not fit. A nil
// status does not.
func (s *Status) Rejected() bool {
	return s != nil && (s.Code == CodeUnschedulable || s.Code == CodeUnresolvable)
}

func (s *Status) equal(o *Status) bool {
	return s == o || s != nil && o != nil && s.Code == o.Code && slices.Equal(s.Reasons, o.Reasons)
}

// Scaling says how raw scores are brought to 0..[MaxNodeScore] over all nodes
// that fit. The kernel does it; a plugin that needs another way sets
// Normalize.
type Scaling uint8

// The scalings.
const (
	// ScaleNone: scores are 0..100 already.
	ScaleNone Scaling = iota
	// ScaleToMax: the highest raw score becomes 100.
	ScaleToMax
	// ScaleReversed: 0 becomes 100 and the highest raw score 0.
	ScaleReversed
)

// Apply brings a raw score to 0..[MaxNodeScore]; highest is the highest raw
// score of all nodes that fit.
func (s Scaling) Apply(v, highest int64) int64 {
	switch s {
	case ScaleToMax:
		if highest > 0 {
			return MaxNodeScore * v / highest
		}
		return 0
	case ScaleReversed:
		if highest > 0 {
			return MaxNodeScore - MaxNodeScore*v/highest
		}
		return MaxNodeScore
	}
	return v
}

// Event is a set of changes of the cluster after which a pod that a plugin
// rejected may fit.
type Event uint32

// The events. NodeAdded to NodeReady are about one node.
const (
	NodeAdded Event = 1 << iota
	NodeAllocatableChanged
	NodeLabelsChanged
	NodeTaintsChanged
	NodeUnschedulableChanged
	NodeReadyChanged
	PodDeleted // a pod on a node went away or finished
	PodAdded   // a pod was bound
	PodChanged // labels or requests of a bound pod changed

	AnyEvent Event = 1<<iota - 1
)

// Member is one plugin of a set: several scheduling plugins that are opened as
// one, so that one call asks them all.
type Member struct {
	// Name is how profiles and messages call the plugin.
	Name   string
	Points *Points
	// Weight of the score unless the profile says otherwise; 0 is 1.
	Weight int64
}

// Taint is a node's taint.
type Taint = columns.Taint

// The effects of taints.
const (
	NoSchedule       = "NoSchedule"
	PreferNoSchedule = "PreferNoSchedule"
	NoExecute        = "NoExecute"
)
