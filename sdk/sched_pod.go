package sdk

import "github.com/pintle-io/pintle/sdk/columns"

// PodInfo is what the scheduler tells plugins about a pod. Tests make pods
// from it with [NewPod].
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

// Reads is the set of parts of the pod, and of the cluster, that plugins
// looked at beyond what all pods of a shape share. The scheduler remembers
// verdicts accordingly.
type Reads uint32

// The parts.
const (
	ReadName Reads = 1 << iota
	ReadUID
	ReadLabels
	ReadAnnotations
	ReadPriority
	// ReadCluster: the number of nodes, or how many of them have an image.
	ReadCluster
	// ReadNodes: a node other than the one asked about. Nothing is remembered.
	ReadNodes
	// ReadAgain: the PreFilter or PreScore of a plugin of cluster scope looked
	// at the cluster, and so must run for every pod.
	ReadAgain
)

// Pod is the pod to place. It is valid until the point returns.
type Pod struct {
	info  PodInfo
	reads Reads
}

// NewPod makes a pod, for tests of plugins.
func NewPod(info PodInfo) *Pod { return &Pod{info: info} }

// Namespace is the pod's namespace.
func (p *Pod) Namespace() string { return p.info.Namespace }

// Name is the pod's name. A verdict that depends on it cannot be shared
// between replicas; the same is true of UID.
func (p *Pod) Name() string {
	p.reads |= ReadName
	return p.info.Name
}

// UID is the pod's unique id.
func (p *Pod) UID() string {
	p.reads |= ReadUID
	return p.info.UID
}

// Label returns a label's value and whether it is there.
func (p *Pod) Label(key string) (string, bool) {
	p.reads |= ReadLabels
	v, ok := p.info.Labels[key]
	return v, ok
}

// Labels returns all labels. The caller must not change them.
func (p *Pod) Labels() map[string]string {
	p.reads |= ReadLabels
	return p.info.Labels
}

// Annotation returns an annotation's value and whether it is there.
func (p *Pod) Annotation(key string) (string, bool) {
	p.reads |= ReadAnnotations
	v, ok := p.info.Annotations[key]
	return v, ok
}

// Annotations returns all annotations. The caller must not change them.
func (p *Pod) Annotations() map[string]string {
	p.reads |= ReadAnnotations
	return p.info.Annotations
}

// Priority is the pod's priority.
func (p *Pod) Priority() int32 {
	p.reads |= ReadPriority
	return p.info.Priority
}

// NodeName is the node that the pod's author asks for, "" when any will do.
func (p *Pod) NodeName() string { return p.info.NodeName }

// SchedulerName is the scheduler that the pod asks for.
func (p *Pod) SchedulerName() string { return p.info.SchedulerName }

// Requests is what the pod needs of a node. The caller must not change it.
func (p *Pod) Requests() *Resources { return &p.info.Requests }

// NonZeroRequests is Requests where a container without a request counts with
// a default of 100m and 200 MiB.
func (p *Pod) NonZeroRequests() *Resources { return &p.info.NonZero }

// CPU is the requested CPU in thousandths of a core.
func (p *Pod) CPU() int64 { return p.info.Requests.MilliCPU }

// Memory is the requested memory in bytes.
func (p *Pod) Memory() int64 { return p.info.Requests.Memory }

// NodeSelector is spec.nodeSelector. The caller must not change it.
func (p *Pod) NodeSelector() map[string]string { return p.info.NodeSelector }

// Affinity is the pod's node affinity, nil when there is none. The caller must
// not change it.
func (p *Pod) Affinity() *NodeAffinity { return p.info.Affinity }

// Tolerations of the pod. The caller must not change them.
func (p *Pod) Tolerations() []Toleration { return p.info.Tolerations }

// Tolerates tells whether the pod tolerates the taint.
func (p *Pod) Tolerates(t Taint) bool {
	for _, x := range p.info.Tolerations {
		if x.Tolerates(t) {
			return true
		}
	}
	return false
}

// Images of the pod, one for each container and image volume.
func (p *Pod) Images() []string { return p.info.Images }

// Ports that the pod claims on its node.
func (p *Pod) Ports() []HostPort { return p.info.Ports }
