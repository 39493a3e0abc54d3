package columns

import (
	"fmt"
	"slices"
)

// Bounds of the columns over pods that one plugin has.
const (
	// MaxPodKeys bounds those with a key: labels and extended resources.
	MaxPodKeys = 64
	// MaxPodBytes bounds all of them together.
	MaxPodBytes = 128 << 20
)

// podMirror is the part of a [Mirror] that holds columns over pods: a block of
// its own behind that of the nodes.
type podMirror struct {
	cols    []Column // in the order in which they were asked for, without keys
	keys    []string // of the column at the same place; "" for none
	keyed   int
	wanted  bool // the plugin asks for pods, or for what leads to them
	reading bool // counted among the readers

	layout          Layout // without columns: there is no block
	view            podView
	epoch, pos      uint64
	strings         int
	labels, portSet int
	affinities      int
}

// want adds a column.
func (m *podMirror) want(r Ref, t Type) error {
	if r.Key != "" {
		if m.keyed >= MaxPodKeys {
			return fmt.Errorf("column %s: %w for a plugin that has %d of pods' labels and resources", r, ErrColumn, MaxPodKeys)
		}
		m.keyed++
	}
	m.cols, m.keys = append(m.cols, Column{ID: r.ID, Type: t}), append(m.keys, r.Key)
	return nil
}

// wantAll adds every column that there can be for the present pods; labels are in
// their sets.
func (m *podMirror) wantAll(a *PodTable) {
	m.cols, m.keys, m.keyed = nil, nil, 0
	for _, c := range fixedPodColumns {
		_ = m.want(Ref{ID: c.ID}, c.Type) // has no key
	}
	for _, name := range a.extended() {
		if m.want(Ref{ID: PodExtended, Key: name}, Int64) != nil {
			return // there are as many as can be
		}
	}
}

// has tells whether a column is asked for.
func (m *podMirror) has(id ID) bool {
	return slices.ContainsFunc(m.cols, func(c Column) bool { return c.ID == id })
}

// stale tells whether the block must be laid out anew.
func (m *podMirror) stale(a *PodTable) bool {
	return m.reading && (m.epoch != a.epoch || len(m.cols) > 0 && m.layout.Capacity != a.capacity)
}

// plan lays the block out.
func (m *podMirror) plan(a *PodTable) error {
	m.layout = Layout{}
	if len(m.cols) == 0 {
		return nil
	}
	cols := slices.Clone(m.cols)
	for i, key := range m.keys {
		if key != "" {
			cols[i].Key = a.id(key)
		}
	}
	if a.capacity > MaxRows {
		return fmt.Errorf("columns over %d pods: %w for more than %d", a.Len(), ErrColumn, MaxRows)
	}
	l := Plan(a.capacity, cols)
	if l.Size > MaxPodBytes {
		return fmt.Errorf("%d columns over %d pods, %d MiB: %w for more than %d MiB", len(cols), a.Len(), l.Size>>20, ErrColumn, MaxPodBytes>>20)
	}
	m.layout = l
	return nil
}

// writeAll writes all pods into a block that is new.
func (m *podMirror) writeAll(a *PodTable) {
	for row := range a.pods {
		m.view.write(a, row)
	}
	if m.view.podNode != nil { // memory that a guest gives need not be zero
		clear(m.view.podNode[len(a.pods):])
	}
	m.pos = a.log.position()
	a.mark()
}

// bind finds the columns in a block.
func (m *podMirror) bind(block []byte) {
	m.view = podView{}
	m.view.bind(m.layout, block)
	for i, c := range m.layout.Columns {
		switch c.ID {
		case PodLabel:
			m.view.labels = append(m.view.labels, podLabel{m.keys[i], m.layout.Uint32s(block, c.ID, c.Key)})
		case PodExtended:
			m.view.extended = append(m.view.extended, podExtended{m.keys[i], m.layout.Int64s(block, c.ID, c.Key)})
		}
	}
}

// writeChanged writes the pods that changed since the last call.
func (m *podMirror) writeChanged(a *PodTable) {
	rows, ok := a.log.since(m.pos)
	m.pos = a.log.position()
	if !ok || len(rows) > len(a.pods) {
		for row := range a.pods {
			m.view.write(a, row)
		}
		return
	}
	for _, row := range rows {
		m.view.write(a, int(row))
	}
}

// delta is what the plugin must be told; nil when nothing.
func (m *podMirror) delta(a *PodTable) *PodDelta {
	if !m.reading {
		return nil
	}
	d := PodDelta{Reset: m.epoch != a.epoch}
	if d.Reset {
		m.epoch, m.strings, m.labels, m.portSet, m.affinities = a.epoch, 0, 0, 0, 0
	}
	d.Strings, m.strings = a.strings.values[m.strings:], len(a.strings.values)
	if m.has(PodLabelSet) {
		d.LabelSets, m.labels = a.labelSets.values[m.labels:], len(a.labelSets.values)
	}
	if m.has(PodPortSet) {
		d.PortSets, m.portSet = a.portSets.values[m.portSet:], len(a.portSets.values)
	}
	if m.has(PodAffinitySet) {
		d.Affinities, m.affinities = a.affinities.values[m.affinities:], len(a.affinities.values)
	}
	if !d.Reset && len(d.Affinities) == 0 && len(d.Strings) == 0 && len(d.LabelSets) == 0 && len(d.PortSets) == 0 {
		return nil
	}
	out := d
	return &out
}

// podView holds the columns of a block as slices; nil is one that was not asked
// for.
type podView struct {
	fixedPodView
	labels   []podLabel
	extended []podExtended
}

type podLabel struct {
	key    string
	values []uint32
}

type podExtended struct {
	name   string
	values []int64
}

// write writes a row.
func (v *podView) write(a *PodTable, row int) {
	p := a.pods[row]
	if p == nil {
		if v.podNode != nil {
			v.podNode[row] = 0
		}
		return
	}
	v.fixedPodView.write(a, p, row)
	for i := range v.labels {
		x := &v.labels[i]
		x.values[row] = 0
		if value, ok := p.Labels[x.key]; ok {
			x.values[row] = a.id(value)
		}
	}
	for i := range v.extended {
		x := &v.extended[i]
		x.values[row] = p.Usage.Requests.Of(x.name)
	}
}
