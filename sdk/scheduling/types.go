package scheduling

import "time"

// Code is the outcome of a scheduling point.
type Code uint8

// The codes.
const (
	CodeSuccess Code = iota
	CodeSkip
	CodeUnschedulable
	CodeUnschedulableAndUnresolvable
	CodeWait  // of PreBind, see [Wait]
	CodeError // see [Failed]
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

	// Of [Wait].
	after time.Duration
	until []ObjectRef
}

// Unschedulable says that the pod does not fit now; removing other pods may
// help. Each reason reads as in "3 Insufficient cpu".
func Unschedulable(reasons ...string) *Status {
	return &Status{Code: CodeUnschedulable, Reasons: reasons}
}

// UnschedulableAndUnresolvable says that the pod does not fit, and that
// removing other pods cannot help.
func UnschedulableAndUnresolvable(reasons ...string) *Status {
	return &Status{Code: CodeUnschedulableAndUnresolvable, Reasons: reasons}
}

// Skip says, from PreFilter or PreScore, that this plugin has nothing to do
// for this pod: its Filter or Score is not called. Skip from PreFilter means
// Reserve and PreBind, too.
func Skip() *Status { return skip }

// Only says, from PreFilter, that no other node than these can fit.
func Only(nodes ...string) *Status { return &Status{Nodes: nodes} }

var skip = &Status{Code: CodeSkip}

// Rejected tells whether the status says that the pod does not fit. A nil
// status does not.
func (s *Status) Rejected() bool {
	return s != nil && (s.Code == CodeUnschedulable || s.Code == CodeUnschedulableAndUnresolvable)
}

// Member is one plugin of a set: several scheduling plugins that are opened as
// one, so that one call asks them all.
type Member struct {
	// Name is how profiles and messages call the plugin.
	Name   string
	Points *Points
	// Weight of the score unless the profile says otherwise; 0 is 1.
	Weight int64
}
