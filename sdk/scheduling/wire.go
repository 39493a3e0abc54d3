package scheduling

import (
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// What the protocol and an author call alike.
type (
	// Scope says what the verdicts of a plugin depend on. The kernel remembers
	// node-local verdicts per pod shape and node revision.
	Scope = schedule.Scope
	// Scaling says how raw scores are brought to 0..[MaxNodeScore] over all
	// nodes that fit. The kernel does it; a plugin that needs another way sets
	// Normalize.
	Scaling = schedule.Scaling
	// ClusterEvent is a set of changes of the cluster after which a pod that a
	// plugin rejected may fit.
	ClusterEvent = schedule.ClusterEvent

	// PodInfo is a pod for [NewPod].
	PodInfo = schedule.PodInfo
	// NodeInfo is a node for [NewSnapshot].
	NodeInfo = schedule.NodeInfo
	// Toleration is as in the pod's spec.
	Toleration = schedule.Toleration
	// NodeAffinity is the node affinity of a pod, made of the next three.
	NodeAffinity  = schedule.NodeAffinity
	PreferredTerm = schedule.PreferredTerm
	NodeTerm      = schedule.NodeTerm
	Requirement   = schedule.Requirement

	// Resources is an amount of each resource. CPU is in thousandths of a core,
	// the others in bytes or pieces.
	Resources = columns.Resources
	// Amount is some of an extended resource.
	Amount = columns.Amount
	// HostPort is a port that a pod claims on its node.
	HostPort = columns.HostPort
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
	NoSchedule       = schedule.NoSchedule
	PreferNoSchedule = schedule.PreferNoSchedule
	NoExecute        = schedule.NoExecute
)

// Column names a column of the nodes, for [Cycle.Int64] and [Cycle.Uint32].
// CPU is in thousandths of a core, memory and storage in bytes.
type Column = columns.ID

// The columns of numbers.
const (
	AllocatableCPU       = columns.AllocCPU
	AllocatableMemory    = columns.AllocMemory
	AllocatableEphemeral = columns.AllocEphemeral
	AllocatablePods      = columns.AllocPods
	RequestedCPU         = columns.RequestCPU // sum over the node's pods
	RequestedMemory      = columns.RequestMemory
	RequestedEphemeral   = columns.RequestEphemeral
	RequestedPods        = columns.RequestPods // number of pods
	// NonZeroCPU and NonZeroMemory are sums in which a container without a
	// request counts with a default, so that it has some weight in scores.
	NonZeroCPU    = columns.NonZeroCPU
	NonZeroMemory = columns.NonZeroMemory
)

// The columns of names, flags and sets.
const (
	NodeNames = columns.Name     // string id
	NodeFlags = columns.Flags    // of the Flag constants
	TaintSet  = columns.TaintSet // index into the table of taint sets
	ImageSet  = columns.ImageSet // index into the table of image sets
	LabelSet  = columns.LabelSet // index into the table of rare labels
	PortSet   = columns.PortSet  // index into the table of host ports in use
)

// Bits of the column of flags.
const (
	FlagUnschedulable = columns.FlagUnschedulable
	FlagReady         = columns.FlagReady
)
