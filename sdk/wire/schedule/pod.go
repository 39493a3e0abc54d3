package schedule

import "github.com/pintle-io/pintle/sdk/wire/columns"

// PodInfo is what the scheduler tells plugins about a pod.
type PodInfo struct {
	Namespace, Name, UID string
	Labels, Annotations  map[string]string
	// NodeName is spec.nodeName: the node that the pod's author asks for.
	NodeName      string
	SchedulerName string
	Priority      int32
	// Requests is what the pod needs of a node, overhead included. In NonZero a
	// container without a request counts with a default (100m, 200 MiB).
	Requests Resources
	NonZero  Resources
	// NodeSelector, Affinity, Tolerations as in the pod's spec.
	NodeSelector map[string]string
	Affinity     *NodeAffinity
	Tolerations  []Toleration
	// Images are the images of init containers, containers and image volumes,
	// as written in the spec, one entry for each.
	Images []string
	// Ports are the host ports of containers that run as long as the pod does.
	Ports []HostPort
}

// Resources is an amount of each resource. CPU is in thousandths of a core,
// the others in bytes or pieces.
type Resources = columns.Resources

// Amount is some of an extended resource.
type Amount = columns.Amount

// HostPort is a port that the pod claims on its node.
type HostPort = columns.HostPort

// Toleration is as in the pod's spec. Operator "" is Equal, Effect "" matches
// all effects.
type Toleration struct{ Key, Operator, Value, Effect string }

// Tolerates tells whether the toleration matches the taint.
func (t Toleration) Tolerates(taint Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case "", "Equal":
		return t.Value == taint.Value
	case "Exists":
		return true
	}
	return false
}

// NodeAffinity is the node affinity of a pod. Required nil means that there is
// no requirement; required but empty matches no node.
type NodeAffinity struct {
	Required  []NodeTerm
	Preferred []PreferredTerm
}

// PreferredTerm adds Weight to the score of a node that Term matches.
type PreferredTerm struct {
	Weight int32
	Term   NodeTerm
}

// NodeTerm matches a node when all its requirements do; an empty term matches
// none.
type NodeTerm struct {
	Expressions []Requirement // on labels
	Fields      []Requirement // on fields: metadata.name
}

// Requirement is one condition: In, NotIn, Exists, DoesNotExist, Gt, Lt.
type Requirement struct {
	Key, Operator string
	Values        []string
}

// Taint is a node's taint.
type Taint = columns.Taint

// The effects of taints.
const (
	NoSchedule       = "NoSchedule"
	PreferNoSchedule = "PreferNoSchedule"
	NoExecute        = "NoExecute"
)
