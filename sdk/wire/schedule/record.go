package schedule

import (
	"sort"

	"github.com/pintle-io/pintle/sdk/wire"
)

// PodRecord is a pod in the form in which it is sent to plugins. What all pods
// of a shape share comes first.
type PodRecord struct {
	bytes []byte
	// ends of the parts that follow the shape: labels, annotations, priority,
	// name, uid
	ends [6]int
}

// parts names what lies behind the shape, in order.
var parts = [5]Reads{ReadLabels, ReadAnnotations, ReadPriority, ReadName, ReadUID}

// EncodePod makes the record of a pod.
func EncodePod(p *PodInfo) PodRecord {
	var r PodRecord
	b := make([]byte, 0, 256)
	b = appendShape(b, p)
	r.ends[0] = len(b)
	b = appendMap(b, p.Labels)
	r.ends[1] = len(b)
	b = appendMap(b, p.Annotations)
	r.ends[2] = len(b)
	b = wire.AppendInt(b, int64(p.Priority))
	r.ends[3] = len(b)
	b = wire.AppendString(b, p.Name)
	r.ends[4] = len(b)
	b = wire.AppendString(b, p.UID)
	r.ends[5] = len(b)
	r.bytes = b
	return r
}

// Bytes is the record. The caller must not change it.
func (r *PodRecord) Bytes() []byte { return r.bytes }

// AppendKey appends what tells this pod's verdicts from those of others when
// plugins look at the parts in reads: pods with equal keys get equal verdicts.
func (r *PodRecord) AppendKey(b []byte, reads Reads) []byte {
	b = append(b, r.bytes[:r.ends[0]]...)
	for i, part := range parts {
		if reads&part != 0 {
			b = append(b, r.bytes[r.ends[i]:r.ends[i+1]]...)
		}
	}
	return b
}

// DecodePod reads a record.
func DecodePod(b []byte) (PodInfo, error) {
	r := wire.NewReader(b)
	var p PodInfo
	readShape(r, &p)
	p.Labels = readMap(r)
	p.Annotations = readMap(r)
	p.Priority = int32(r.Int())
	p.Name = r.Str()
	p.UID = r.Str()
	return p, r.Err()
}

func appendShape(b []byte, p *PodInfo) []byte {
	b = wire.AppendString(b, p.Namespace)
	b = wire.AppendString(b, p.NodeName)
	b = wire.AppendString(b, p.SchedulerName)
	b = appendResources(b, &p.Requests)
	b = appendResources(b, &p.NonZero)
	b = appendMap(b, p.NodeSelector)
	b = appendAffinity(b, p.Affinity)
	b = wire.AppendUint(b, uint64(len(p.Tolerations)))
	for _, t := range p.Tolerations {
		b = appendStrings(b, t.Key, t.Operator, t.Value, t.Effect)
	}
	b = wire.AppendStrings(b, p.Images)
	b = wire.AppendUint(b, uint64(len(p.Ports)))
	for _, x := range p.Ports {
		b = wire.AppendInt(appendStrings(b, x.IP, x.Protocol), int64(x.Port))
	}
	return b
}

func readShape(r *wire.Reader, p *PodInfo) {
	p.Namespace, p.NodeName, p.SchedulerName = r.Str(), r.Str(), r.Str()
	p.Requests = readResources(r)
	p.NonZero = readResources(r)
	p.NodeSelector = readMap(r)
	p.Affinity = readAffinity(r)
	for range r.Count(4) {
		p.Tolerations = append(p.Tolerations, Toleration{r.Str(), r.Str(), r.Str(), r.Str()})
	}
	p.Images = r.Strings()
	for range r.Count(3) {
		p.Ports = append(p.Ports, HostPort{IP: r.Str(), Protocol: r.Str(), Port: int32(r.Int())})
	}
}

func appendResources(b []byte, a *Resources) []byte {
	b = wire.AppendInt(b, a.MilliCPU)
	b = wire.AppendInt(b, a.Memory)
	b = wire.AppendInt(b, a.Ephemeral)
	b = wire.AppendUint(b, uint64(len(a.Extended)))
	for _, x := range a.Extended {
		b = wire.AppendInt(wire.AppendString(b, x.Name), x.Value)
	}
	return b
}

func readResources(r *wire.Reader) Resources {
	a := Resources{MilliCPU: r.Int(), Memory: r.Int(), Ephemeral: r.Int()}
	for range r.Count(2) {
		a.Extended = append(a.Extended, Amount{Name: r.Str(), Value: r.Int()})
	}
	return a
}

func appendAffinity(b []byte, a *NodeAffinity) []byte {
	if a == nil {
		return append(b, 0)
	}
	if a.Required == nil {
		b = append(b, 1)
	} else {
		b = wire.AppendUint(append(b, 2), uint64(len(a.Required)))
		for i := range a.Required {
			b = appendTerm(b, &a.Required[i])
		}
	}
	b = wire.AppendUint(b, uint64(len(a.Preferred)))
	for i := range a.Preferred {
		b = wire.AppendInt(b, int64(a.Preferred[i].Weight))
		b = appendTerm(b, &a.Preferred[i].Term)
	}
	return b
}

func readAffinity(r *wire.Reader) *NodeAffinity {
	kind := r.Byte()
	if kind == 0 {
		return nil
	}
	a := &NodeAffinity{}
	if kind == 2 {
		a.Required = make([]NodeTerm, r.Count(2))
		for i := range a.Required {
			a.Required[i] = readTerm(r)
		}
	}
	for range r.Count(3) {
		a.Preferred = append(a.Preferred, PreferredTerm{Weight: int32(r.Int()), Term: readTerm(r)})
	}
	return a
}

func appendTerm(b []byte, t *NodeTerm) []byte {
	return appendRequirements(appendRequirements(b, t.Expressions), t.Fields)
}

func readTerm(r *wire.Reader) NodeTerm {
	return NodeTerm{Expressions: readRequirements(r), Fields: readRequirements(r)}
}

func appendRequirements(b []byte, list []Requirement) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for _, q := range list {
		b = wire.AppendStrings(appendStrings(b, q.Key, q.Operator), q.Values)
	}
	return b
}

func readRequirements(r *wire.Reader) []Requirement {
	var out []Requirement
	for range r.Count(3) {
		out = append(out, Requirement{Key: r.Str(), Operator: r.Str(), Values: r.Strings()})
	}
	return out
}

func appendMap(b []byte, m map[string]string) []byte {
	b = wire.AppendUint(b, uint64(len(m)))
	keys := make([]string, 0, 8)
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		b = appendStrings(b, k, m[k])
	}
	return b
}

func readMap(r *wire.Reader) map[string]string {
	n := r.Count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := r.Str()
		m[k] = r.Str()
	}
	return m
}

func appendStrings(b []byte, list ...string) []byte {
	for _, s := range list {
		b = wire.AppendString(b, s)
	}
	return b
}
