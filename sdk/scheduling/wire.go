package scheduling

import (
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// What the protocol and an author call alike.
type (
	// Scope says what the verdicts of a plugin depend on. The kernel remembers
	// node-local verdicts per signature of pods and node revision.
	Scope = schedule.Scope
	// Scaling says how raw scores are brought to 0..[MaxNodeScore] over all
	// nodes that fit. The kernel does it; a plugin that needs another way sets
	// Normalize.
	Scaling = schedule.Scaling
	// ClusterEvent is a set of changes of the cluster after which a pod that a
	// plugin rejected may fit.
	ClusterEvent = schedule.ClusterEvent

	// NodeInfo is a node for [NewSnapshot].
	NodeInfo = schedule.NodeInfo

	// Resources is an amount of each resource. CPU is in thousandths of a core,
	// the others in bytes or pieces.
	Resources = columns.Resources
	// Amount is some of an extended resource.
	Amount = columns.Amount
	// HostPort is a port that a pod claims on its node.
	HostPort = columns.HostPort
	// Claim names a PersistentVolumeClaim of a pod.
	Claim = columns.Claim
	// Taint is a node's taint.
	Taint = columns.Taint
	// Usage is what a pod takes from its node, for [NodeInfo].
	Usage = columns.Usage
	// NodeImage is an image for [NodeInfo].
	NodeImage = columns.Image
)

// The scopes.
const (
	// NodeLocal verdicts depend on the pod and one node's row only.
	NodeLocal = schedule.NodeLocal
	// Cluster verdicts may depend on every node.
	Cluster = schedule.Cluster
)

// The scalings.
const (
	// ScaleNone: scores are 0..100 already.
	ScaleNone = schedule.ScaleNone
	// ScaleToMax: the highest raw score becomes 100.
	ScaleToMax = schedule.ScaleToMax
	// ScaleReversed: 0 becomes 100 and the highest raw score 0.
	ScaleReversed = schedule.ScaleReversed
)

// MaxNodeScore is the highest score of a node after scaling.
const MaxNodeScore = schedule.MaxNodeScore

// The events. NodeAdded to NodeReadyChanged are about one node.
const (
	NodeAdded                = schedule.NodeAdded
	NodeAllocatableChanged   = schedule.NodeAllocatableChanged
	NodeLabelsChanged        = schedule.NodeLabelsChanged
	NodeTaintsChanged        = schedule.NodeTaintsChanged
	NodeUnschedulableChanged = schedule.NodeUnschedulableChanged
	NodeReadyChanged         = schedule.NodeReadyChanged
	PodDeleted               = schedule.PodDeleted // a pod on a node went away or finished
	PodAdded                 = schedule.PodAdded   // a pod was bound
	PodChanged               = schedule.PodChanged // labels or requests of a bound pod changed
	AnyEvent                 = schedule.AnyEvent
)

// The effects of taints.
const (
	NoSchedule       = "NoSchedule"
	PreferNoSchedule = "PreferNoSchedule"
	NoExecute        = "NoExecute"
)

// Column names a column of the nodes, for [Cycle.Int64] and [Cycle.Uint32].
// A plugin has those that it asked for; see [Points.Columns].
type Column = columns.ID

// Bits of the column of flags.
const (
	FlagUnschedulable = columns.FlagUnschedulable
	FlagReady         = columns.FlagReady
)
