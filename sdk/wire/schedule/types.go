package schedule

// Scope says what the verdicts of a plugin depend on. The kernel remembers
// node-local verdicts per signature of pods and node revision.
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

// MaxNodeScore is the highest score of a node after scaling.
const MaxNodeScore = 100

// MaxRawScore bounds scores before scaling, so that a hundred times as much is
// no overflow.
const MaxRawScore = 1 << 40

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

// ClusterEvent is a set of changes of the cluster after which a pod that a plugin
// rejected may fit.
type ClusterEvent uint32

// The events. NodeAdded to NodeReadyChanged are about one node.
const (
	NodeAdded ClusterEvent = 1 << iota
	NodeAllocatableChanged
	NodeLabelsChanged
	NodeTaintsChanged
	NodeUnschedulableChanged
	NodeReadyChanged
	PodDeleted // a pod on a node went away or finished
	PodAdded   // a pod was bound
	PodChanged // labels or requests of a bound pod changed

	AnyEvent ClusterEvent = 1<<iota - 1
)

// Reads is the set of what plugins looked at beyond the fields of the pod that
// they declare and the row that they were asked about. The scheduler remembers
// verdicts accordingly.
type Reads uint32

// The parts.
const (
	// ReadCluster: the number of nodes, or how many of them have an image.
	ReadCluster Reads = 1 << iota
	// ReadNodes: a node other than the one asked about. Nothing is remembered.
	ReadNodes
	// ReadAgain: the PreFilter or PreScore of a plugin of cluster scope looked
	// at the cluster, and so must run for every pod.
	ReadAgain
	// ReadDomains: the fewest or most pods of a domain, or the number of
	// domains, of counts that were asked for.
	ReadDomains
)
