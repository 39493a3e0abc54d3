package scheduling

import (
	"iter"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// AssignedPod is a pod that is on a node already: bound there, or decided about.
// It is a small handle: pass it by value, and do not keep it after the point
// returned. Finished pods are on no node any more.
//
// The kernel begins to keep what plugins can see of assigned pods when the first
// of them looks. Counts of pods ([Snapshot.CountPods]) cost less, where they
// suffice.
type AssignedPod struct {
	s   *Snapshot
	row uint32
}

// AssignedPodInfo is an assigned pod for [NodeInfo].
type AssignedPodInfo = columns.Pod

// AffinityOf is the affinity of an [AssignedPodInfo]. Its nodeAffinity is left
// out; nil is none.
func AffinityOf(a *corev1.Affinity) func() string {
	if a == nil || a.PodAffinity == nil && a.PodAntiAffinity == nil {
		return nil
	}
	return func() string {
		b, _ := record.NewEncoder(nil).Plan(nil).Append(nil, &corev1.Affinity{PodAffinity: a.PodAffinity, PodAntiAffinity: a.PodAntiAffinity}) // has a form
		return string(b)
	}
}

// Bits of the column of pods' flags.
const (
	PodTerminating   = columns.PodTerminating
	PodNeverPreempts = columns.PodNeverPreempts
)

// AssignedPods are the pods on the node, in no order. A verdict that depends on
// those of the node that it is about is remembered until one of them changes.
func (n Node) AssignedPods() iter.Seq[AssignedPod] {
	return func(yield func(AssignedPod) bool) {
		at, next := n.uint32(n.s.cols.firstPod, columns.FirstPod), n.s.podNext()
		for at != 0 && int(at) <= len(next) {
			if !yield(AssignedPod{n.s, at - 1}) {
				return
			}
			at = next[at-1]
		}
	}
}

// AssignedPods are the pods on all nodes, in no order. Verdicts of a plugin that
// looks at them are not remembered; see [Node.AssignedPods].
func (s *Snapshot) AssignedPods() iter.Seq[AssignedPod] {
	return func(yield func(AssignedPod) bool) {
		for row, node := range s.PodUint32(PodNode) {
			if node != 0 && !yield(AssignedPod{s, uint32(row)}) {
				return
			}
		}
	}
}

// PodInt64 returns a column over the assigned pods, for plugins that compute over
// all of them. A row whose [PodNode] is 0 holds no pod. Verdicts are not
// remembered. The caller must not change it, nor keep it.
func (s *Snapshot) PodInt64(id Column) []int64 {
	s.reads |= schedule.ReadNodes
	col := s.pods.cols.int64(id)
	if col == nil {
		s.ask(id, "")
	}
	return col
}

// PodUint32 is PodInt64 for the columns of nodes, namespaces, flags and sets.
func (s *Snapshot) PodUint32(id Column) []uint32 {
	s.reads |= schedule.ReadNodes
	col := s.pods.cols.uint32(id)
	if col == nil {
		s.ask(id, "")
	}
	return col
}

// PodString returns the string of a number in the columns over pods, which are
// not those of the columns over nodes.
func (s *Snapshot) PodString(id uint32) string { return s.pods.str(id) }

// Row is the pod's place in the columns over pods, for as long as it is assigned.
func (p AssignedPod) Row() int { return int(p.row) }

// Node that the pod is on.
func (p AssignedPod) Node() Node {
	if row := p.uint32(p.s.pods.cols.podNode, columns.PodNode); row > 0 {
		return Node{p.s, row - 1}
	}
	return Node{p.s, 0}
}

// Namespace of the pod.
func (p AssignedPod) Namespace() string {
	return p.s.pods.str(p.uint32(p.s.pods.cols.podNamespace, columns.PodNamespace))
}

// Label returns a label's value and whether it is there.
func (p AssignedPod) Label(key string) (string, bool) {
	t := &p.s.pods
	if key != t.last.key || t.last.col == nil {
		t.last.key, t.last.col = key, t.labels[t.ids[key]]
	}
	if col := t.last.col; int(p.row) < len(col) {
		return t.str(col[p.row]), col[p.row] != 0
	}
	if t.cols.podLabelSet == nil && (t.asked[key] || len(t.asked) < maxLabelColumns) {
		p.s.ask(columns.PodLabel, key)
		t.note(key)
		return "", false
	}
	v, ok := p.Labels()[key]
	return v, ok
}

// Labels of the pod. The caller must not change them.
func (p AssignedPod) Labels() map[string]string {
	return p.s.pods.labelMap(p.uint32(p.s.pods.cols.podLabelSet, columns.PodLabelSet))
}

// Priority of the pod.
func (p AssignedPod) Priority() int32 {
	return int32(p.int64(p.s.pods.cols.podPriority, columns.PodPriority))
}

// StartTime is when the pod was started on its node (status.startTime); zero
// when it is not yet.
func (p AssignedPod) StartTime() time.Time {
	if at := p.int64(p.s.pods.cols.podStarted, columns.PodStarted); at != 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// Terminating tells whether the pod is being deleted.
func (p AssignedPod) Terminating() bool { return p.flags()&PodTerminating != 0 }

// NeverPreempts tells whether the pod's preemptionPolicy is Never.
func (p AssignedPod) NeverPreempts() bool { return p.flags()&PodNeverPreempts != 0 }

func (p AssignedPod) flags() uint32 {
	return p.uint32(p.s.pods.cols.podFlags, columns.PodFlags)
}

// Requests is what the pod requests of its node of CPU, memory and local storage;
// see [AssignedPod.Extended] for other resources.
func (p AssignedPod) Requests() Resources {
	return Resources{MilliCPU: p.CPU(), Memory: p.Memory(), Ephemeral: p.Ephemeral()}
}

// Extended is what the pod requests of an extended resource.
func (p AssignedPod) Extended(resource string) int64 {
	t := &p.s.pods
	if col := t.extended[t.ids[resource]]; int(p.row) < len(col) {
		return col[p.row]
	}
	p.s.ask(columns.PodExtended, resource)
	return 0
}

// PortTaken tells whether the pod has a host port that overlaps with p.
func (p AssignedPod) PortTaken(port HostPort) bool {
	t := &p.s.pods
	set := p.uint32(t.cols.podPortSet, columns.PodPortSet)
	return int(set) < len(t.portSets) && taken(t.portSets[set], port, t.str)
}

// Ports are the host ports of the pod.
func (p AssignedPod) Ports() []HostPort {
	t := &p.s.pods
	set := p.uint32(t.cols.podPortSet, columns.PodPortSet)
	if int(set) >= len(t.portSets) {
		return nil
	}
	var out []HostPort
	for _, r := range t.portSets[set] {
		out = append(out, HostPort{IP: t.str(r.IP), Protocol: t.str(r.Protocol), Port: int32(r.Port)})
	}
	return out
}

// Affinity is the podAffinity and podAntiAffinity of the pod's spec.affinity; nil
// when it has neither. Pods with the same affinity share it, so that what a plugin
// makes of it can be kept by its address until the point returns. The caller must
// not change it.
func (p AssignedPod) Affinity() *corev1.Affinity {
	t := &p.s.pods
	set := p.uint32(t.cols.podAffinitySet, columns.PodAffinitySet)
	if set == 0 || int(set) >= len(t.affinities) {
		return nil
	}
	x := &t.affinities[set]
	if x.value == nil {
		x.value = &corev1.Affinity{}
		if err := record.Decode([]byte(x.record), x.value); err != nil {
			p.s.asks.broken = wire.Errorf(wire.KindProtocol, "affinity of pods: %v", err)
		}
	}
	return x.value
}

// uint32 is the pod's element of a column; 0 and a question for the column when
// the plugin does not have it yet.
func (p AssignedPod) uint32(col []uint32, id columns.ID) uint32 {
	if int(p.row) < len(col) {
		return col[p.row]
	}
	p.s.ask(id, "")
	return 0
}

func (p AssignedPod) int64(col []int64, id columns.ID) int64 {
	if int(p.row) < len(col) {
		return col[p.row]
	}
	p.s.ask(id, "")
	return 0
}

// podNext is the column that chains the pods of a node.
func (s *Snapshot) podNext() []uint32 {
	if s.pods.cols.podNext == nil {
		s.ask(columns.PodNext, "")
	}
	return s.pods.cols.podNext
}

// maxLabelColumns bounds the labels of pods that have a column. A plugin that
// looks at more, because selectors of people's pods name them, reads the pods'
// sets of labels.
const maxLabelColumns = columns.MaxPodKeys / 2

// podTables is what a snapshot knows of assigned pods.
type podTables struct {
	layout   columns.Layout // without capacity: no plugin has asked
	cols     podColumns
	labels   map[uint32][]uint32 // columns of labels, by key
	extended map[uint32][]int64
	asked    map[string]bool // labels
	// last is the label that was looked at last: plugins look at the same one of
	// every pod.
	last struct {
		key string
		col []uint32
	}

	strings   []string // string id 1 is strings[0]
	ids       map[string]uint32
	labelSets [][]columns.LabelRef
	labelMaps []map[string]string // of labelSets, made when they are looked at
	portSets  [][]columns.PortRef

	affinities []affinity
}

// affinity is decoded when it is looked at.
type affinity struct {
	record string
	value  *corev1.Affinity
}

func (t *podTables) note(key string) {
	if t.asked == nil {
		t.asked = map[string]bool{}
	}
	t.asked[key] = true
}

func (t *podTables) str(id uint32) string {
	if id == 0 || int(id) > len(t.strings) {
		return ""
	}
	return t.strings[id-1]
}

// labelMap is a set of labels as a map.
func (t *podTables) labelMap(set uint32) map[string]string {
	if int(set) >= len(t.labelSets) {
		return nil
	}
	for len(t.labelMaps) < len(t.labelSets) {
		t.labelMaps = append(t.labelMaps, nil)
	}
	if t.labelMaps[set] == nil {
		m := make(map[string]string, len(t.labelSets[set]))
		for _, l := range t.labelSets[set] {
			m[t.str(l.Key)] = t.str(l.Value)
		}
		t.labelMaps[set] = m
	}
	return t.labelMaps[set]
}

// parse reads the header of the block behind that of the nodes, if there is one.
func (t *podTables) parse(block []byte) error {
	t.layout = columns.Layout{}
	if len(block) == 0 {
		return nil
	}
	l, err := columns.Parse(block)
	if err == nil {
		t.layout = l
	}
	return err
}

// apply brings the tables up to date.
func (t *podTables) apply(d *columns.PodDelta) {
	if d.Reset {
		*t = podTables{layout: t.layout, cols: t.cols, labels: t.labels, extended: t.extended, asked: t.asked, ids: map[string]uint32{}}
	}
	for _, v := range d.Strings {
		t.strings = append(t.strings, v)
		t.ids[v] = uint32(len(t.strings))
	}
	t.labelSets = append(t.labelSets, d.LabelSets...)
	t.portSets = append(t.portSets, d.PortSets...)
	for _, r := range d.Affinities {
		t.affinities = append(t.affinities, affinity{record: r})
	}
}

// bind finds the columns in the block.
func (t *podTables) bind(block []byte) {
	t.cols.bind(&t.layout, block)
	t.labels, t.extended, t.last.col = map[uint32][]uint32{}, map[uint32][]int64{}, nil
	for _, c := range t.layout.Columns {
		switch c.ID {
		case columns.PodLabel:
			t.labels[c.Key] = t.layout.Uint32s(block, c.ID, c.Key)
		case columns.PodExtended:
			t.extended[c.Key] = t.layout.Int64s(block, c.ID, c.Key)
		}
	}
}
