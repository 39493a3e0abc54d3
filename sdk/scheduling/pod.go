package scheduling

import (
	"fmt"
	"reflect"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Pod is the pod to place. It is valid until the point returns.
//
// What a plugin looks at is noticed: the kernel sends no other fields, and pods
// that agree in them share a verdict. A verdict that depends on the name, for
// one, cannot be shared between replicas.
type Pod struct {
	value  record.Value
	by     *declaration // nil: all of the pod is there
	where  *partLocator // of the declaration of value; nil: its parts are found by their paths
	reader record.Reader
	at     [lenParts]int32 // where parts are, as where noted
	read   uint32          // the parts that were read
	err    error           // a part that is not of its type

	namespace, name, uid    string
	nodeName, schedulerName string
	labels, annotations     map[string]string
	nodeSelector            map[string]string
	priority                int32
	requests, nonZero       Resources
	affinity                *NodeAffinity
	tolerations             []Toleration
	images                  []string
	ports                   []HostPort
	claims                  []Claim

	entries map[entryKey]entry // of labels and annotations
}

// entryKey names a label or annotation.
type entryKey struct{ in, key string }

// entry is the value of a label or annotation.
type entry struct {
	value string
	ok    bool
}

// part is what a method of Pod reads, once.
type part uint8

const (
	partNamespace part = iota
	partName
	partUID
	partNodeName
	partSchedulerName
	partLabels
	partAnnotations
	partNodeSelector
	partPriority
	partRequests
	partNonZero
	partAffinity
	partTolerations
	partImages
	partPorts
	partClaims
	lenParts = iota
)

// parts are where parts stand in the pod, and of what structs they are made.
var parts = [lenParts]struct {
	path string
	of   reflect.Type
}{
	partNamespace:     {path: "metadata.namespace"},
	partName:          {path: "metadata.name"},
	partUID:           {path: "metadata.uid"},
	partNodeName:      {path: "spec.nodeName"},
	partSchedulerName: {path: "spec.schedulerName"},
	partLabels:        {path: "metadata.labels"},
	partAnnotations:   {path: "metadata.annotations"},
	partNodeSelector:  {path: "spec.nodeSelector"},
	partPriority:      {path: "spec.priority"},
	partRequests:      {"effective.requests", reflect.TypeFor[Resources]()},
	partNonZero:       {"effective.nonZeroRequests", reflect.TypeFor[Resources]()},
	partAffinity:      {"spec.affinity.nodeAffinity", reflect.TypeFor[NodeAffinity]()},
	partTolerations:   {"spec.tolerations", reflect.TypeFor[Toleration]()},
	partImages:        {path: "effective.images"},
	partPorts:         {"effective.hostPorts", reflect.TypeFor[HostPort]()},
	partClaims:        {"effective.claims", reflect.TypeFor[Claim]()},
}

// declared is what a plugin that reads the part declares of it.
func (x part) declared() *record.Fields {
	if t := parts[x].of; t != nil {
		return record.FieldsOf(t)
	}
	return nil
}

// NewPod makes a pod, for tests of plugins. It panics when the Object of info has
// no JSON form.
func NewPod(info PodInfo) *Pod {
	all := ""
	b, err := info.Record(&all)
	if err != nil {
		panic(err)
	}
	p := &Pod{}
	if err := p.open(b, nil); err != nil {
		panic(err)
	}
	return p
}

// open begins to read the record of a pod; what p was before is gone.
func (p *Pod) open(b []byte, by *declaration) error {
	*p = Pod{by: by}
	var f *record.Fields
	if by != nil {
		f = by.fields
	}
	var err error
	if p.value, err = record.Parse(b, f); err == nil && f != nil {
		p.where = by.locator()
		p.where.Locate(p.value, p.at[:])
	}
	return err
}

// load reads a part of the pod into to, once. A part that was not declared is
// asked for and reads as not there.
func (p *Pod) load(x part, to any) {
	if p.read&(1<<x) != 0 {
		return
	}
	p.read |= 1 << x
	if p.by != nil && !p.by.hasPart(x) {
		return
	}
	if p.where != nil && p.where.plain&(1<<x) != 0 {
		if p.at[x] == 0 {
			return
		}
		p.reader = p.where.At(p.value, p.at[:], int(x)).Reader()
		if readPart(&p.reader, to) {
			return
		}
	}
	v := p.value.Get(parts[x].path)
	if !v.Exists() {
		return
	}
	if err := v.Decode(to); err != nil && p.err == nil {
		p.err = fmt.Errorf("%s of the pod: %w", parts[x].path, err)
	}
}

// Get is what the pod has at a path such as "spec.topologySpreadConstraints",
// "spec.containers[0].image" or "metadata.labels[app.kubernetes.io/name]". All
// fields of the API's Pod are there; what is not set does not exist.
func (p *Pod) Get(path string) record.Value {
	if p.by != nil && !p.by.hasPath(path) {
		return record.Value{}
	}
	return p.value.Get(path)
}

// Decode reads those fields of the pod that v, a pointer to a struct with JSON
// tags, has:
//
//	var pod struct {
//		Spec struct {
//			Constraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
//		} `json:"spec"`
//	}
//	err := p.Decode(&pod)
//
// Call it in PreFilter or PreScore, not for each node. A struct of very many
// fields, such as corev1.Pod, is all of the pod, in which no two pods agree.
func (p *Pod) Decode(v any) error {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode a pod into %T: a pointer to a struct is needed", v)
	}
	if p.by != nil && !p.by.has(record.FieldsOf(t.Elem())) || !p.value.Exists() {
		return nil
	}
	return p.value.Decode(v)
}

// Namespace is the pod's namespace.
func (p *Pod) Namespace() string { p.load(partNamespace, &p.namespace); return p.namespace }

// Name is the pod's name.
func (p *Pod) Name() string { p.load(partName, &p.name); return p.name }

// UID is the pod's unique id.
func (p *Pod) UID() string { p.load(partUID, &p.uid); return p.uid }

// Label returns a label's value and whether it is there.
func (p *Pod) Label(key string) (string, bool) { return p.entry(entryKey{"metadata.labels", key}) }

// Annotation returns an annotation's value and whether it is there.
func (p *Pod) Annotation(key string) (string, bool) {
	return p.entry(entryKey{"metadata.annotations", key})
}

// entry is the value of a label or annotation, which filters look at for every
// node.
func (p *Pod) entry(k entryKey) (string, bool) {
	e, seen := p.entries[k]
	if !seen {
		v := p.Get(k.in + "[" + k.key + "]")
		e = entry{v.String(), v.Exists()}
		if p.entries == nil {
			p.entries = map[entryKey]entry{}
		}
		p.entries[k] = e
	}
	return e.value, e.ok
}

// Labels returns all labels. The caller must not change them.
func (p *Pod) Labels() map[string]string { p.load(partLabels, &p.labels); return p.labels }

// Annotations returns all annotations. The caller must not change them.
func (p *Pod) Annotations() map[string]string {
	p.load(partAnnotations, &p.annotations)
	return p.annotations
}

// Priority is the pod's priority.
func (p *Pod) Priority() int32 { p.load(partPriority, &p.priority); return p.priority }

// NodeName is the node that the pod's author asks for, "" when any will do.
func (p *Pod) NodeName() string { p.load(partNodeName, &p.nodeName); return p.nodeName }

// SchedulerName is the scheduler that the pod asks for.
func (p *Pod) SchedulerName() string {
	p.load(partSchedulerName, &p.schedulerName)
	return p.schedulerName
}

// Requests is what the pod needs of a node. The caller must not change it.
func (p *Pod) Requests() *Resources { p.load(partRequests, &p.requests); return &p.requests }

// NonZeroRequests is Requests where a container without a request counts with
// a default of 100m and 200 MiB.
func (p *Pod) NonZeroRequests() *Resources { p.load(partNonZero, &p.nonZero); return &p.nonZero }

// CPU is the requested CPU in thousandths of a core.
func (p *Pod) CPU() int64 { return p.Requests().MilliCPU }

// Memory is the requested memory in bytes.
func (p *Pod) Memory() int64 { return p.Requests().Memory }

// NodeSelector is spec.nodeSelector. The caller must not change it.
func (p *Pod) NodeSelector() map[string]string {
	p.load(partNodeSelector, &p.nodeSelector)
	return p.nodeSelector
}

// Affinity is the pod's node affinity, nil when there is none. The caller must
// not change it.
func (p *Pod) Affinity() *NodeAffinity { p.load(partAffinity, &p.affinity); return p.affinity }

// Tolerations of the pod. The caller must not change them.
func (p *Pod) Tolerations() []Toleration {
	p.load(partTolerations, &p.tolerations)
	return p.tolerations
}

// Tolerates tells whether the pod tolerates the taint.
func (p *Pod) Tolerates(t Taint) bool {
	for _, x := range p.Tolerations() {
		if x.Tolerates(t) {
			return true
		}
	}
	return false
}

// Images of the pod, one for each container and image volume.
func (p *Pod) Images() []string { p.load(partImages, &p.images); return p.images }

// Ports that the pod claims on its node.
func (p *Pod) Ports() []HostPort { p.load(partPorts, &p.ports); return p.ports }

// Claims are the PersistentVolumeClaims that the pod's volumes are made of, in order
// of the volumes. Pods without any agree in them, whatever they are called.
func (p *Pod) Claims() []Claim { p.load(partClaims, &p.claims); return p.claims }
