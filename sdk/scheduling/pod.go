package scheduling

import "github.com/pintle-io/pintle/sdk/wire/schedule"

// Pod is the pod to place. It is valid until the point returns.
type Pod struct {
	info  PodInfo
	reads schedule.Reads
}

// NewPod makes a pod, for tests of plugins.
func NewPod(info PodInfo) *Pod { return &Pod{info: info} }

// Namespace is the pod's namespace.
func (p *Pod) Namespace() string { return p.info.Namespace }

// Name is the pod's name. A verdict that depends on it cannot be shared
// between replicas; the same is true of UID.
func (p *Pod) Name() string {
	p.reads |= schedule.ReadName
	return p.info.Name
}

// UID is the pod's unique id.
func (p *Pod) UID() string {
	p.reads |= schedule.ReadUID
	return p.info.UID
}

// Label returns a label's value and whether it is there.
func (p *Pod) Label(key string) (string, bool) {
	p.reads |= schedule.ReadLabels
	v, ok := p.info.Labels[key]
	return v, ok
}

// Labels returns all labels. The caller must not change them.
func (p *Pod) Labels() map[string]string {
	p.reads |= schedule.ReadLabels
	return p.info.Labels
}

// Annotation returns an annotation's value and whether it is there.
func (p *Pod) Annotation(key string) (string, bool) {
	p.reads |= schedule.ReadAnnotations
	v, ok := p.info.Annotations[key]
	return v, ok
}

// Annotations returns all annotations. The caller must not change them.
func (p *Pod) Annotations() map[string]string {
	p.reads |= schedule.ReadAnnotations
	return p.info.Annotations
}

// Priority is the pod's priority.
func (p *Pod) Priority() int32 {
	p.reads |= schedule.ReadPriority
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
