package columns

import (
	"errors"
	"fmt"
	"slices"
)

// Mirror keeps the copy of a [Table] in one plugin's region up to date. It
// holds the columns that the plugin asked for, and no others. Columns over pods
// are a second block behind the first, with a header of its own.
type Mirror struct {
	table *Table
	extra []Column
	want  map[Ref]bool // without names
	all   bool         // whatever the table has
	stale bool         // more is wanted than the last layout has
	// reserve gives memory for a layout; the old region is no longer used.
	reserve func(size int) ([]byte, error)

	layout Layout
	region []byte
	pairs  struct {
		i64 [][2][]int64
		u32 [][2][]uint32
	}
	epoch, pos, edit                                  uint64
	strings, taintSets, labelSets, imageSet, portSets int
	rows                                              int

	first []uint32 // the FirstPod column in region
	pods  podMirror
}

// NewMirror prepares a mirror of t without columns. extra are those beyond the
// table's own (results). reserve is called when the layout changes.
func NewMirror(t *Table, extra []Column, reserve func(size int) ([]byte, error)) *Mirror {
	return &Mirror{table: t, extra: extra, reserve: reserve, want: map[Ref]bool{}}
}

// MaxWanted bounds the columns that one plugin asks for, MaxKey the bytes of
// the key of one.
const (
	MaxWanted = 1024
	MaxKey    = 1024
)

// ErrColumn is wrapped by errors about columns that cannot be had.
var ErrColumn = errors.New("no such column")

// Want adds columns, which are there after the next Update. A key that no node
// has costs nothing until one does.
//
// # Errors
//   - ErrColumn, with the column's name
func (m *Mirror) Want(list ...Ref) error {
	for _, r := range list {
		if err := r.Check(); err != nil {
			return err
		}
		key := r
		key.Name = "" // it is for people
		if m.want[key] {
			continue
		}
		if len(m.want) >= MaxWanted {
			return fmt.Errorf("column %s: %w for a plugin that has %d", r, ErrColumn, MaxWanted)
		}
		d, _ := Lookup(r.ID)
		if d.Pods {
			if err := m.pods.want(r, d.Type); err != nil {
				return err
			}
		}
		m.pods.wanted = m.pods.wanted || d.Pods || r.ID == FirstPod
		m.want[key], m.stale = true, true
	}
	return nil
}

// Check tells whether the column is one that a plugin may ask for.
//
// # Errors
//   - ErrColumn, with the column's name
func (r Ref) Check() error {
	d, ok := Lookup(r.ID)
	switch {
	case !ok:
		return fmt.Errorf("column %s: %w in this version of the kernel", r, ErrColumn)
	case d.Answer || d.ID == DomainPods || d.Keyed != (r.Key != "") || len(r.Key) > MaxKey:
		return fmt.Errorf("column %s: %w to read", r, ErrColumn)
	}
	return nil
}

// WantAll adds every column that the table has or will have, for tests.
func (m *Mirror) WantAll() { m.all = true }

// SetExtra replaces the columns beyond the table's own; the next Update lays the
// region out anew.
func (m *Mirror) SetExtra(extra []Column) { m.extra, m.stale = extra, true }

// Close says that the mirror is not used any more.
func (m *Mirror) Close() {
	if m.pods.reading {
		m.pods.reading = false
		m.table.pods.leave()
	}
}

// join begins to read pods when the plugin asks for any of their columns.
func (m *Mirror) join() {
	a := &m.table.pods
	if m.pods.reading || !m.all && !m.pods.wanted {
		return
	}
	a.join()
	m.pods.reading, m.stale = true, true
	if m.all {
		m.pods.wantAll(a)
	}
}

// wants tells whether a column of the table is in the region.
func (m *Mirror) wants(c Column) bool {
	if m.all {
		return true
	}
	r := Ref{ID: c.ID}
	if c.Key != 0 {
		r.Key = m.table.strings.at(c.Key - 1)
	}
	return m.want[r]
}

// wantsSet tells whether the plugin reads the column that numbers sets.
func (m *Mirror) wantsSet(id ID) bool { return m.all || m.want[Ref{ID: id}] }

// columns are those of the table that are in the region.
func (m *Mirror) columns() []Column {
	var cols []Column
	for _, c := range m.table.layout.Columns {
		if m.wants(c) {
			cols = append(cols, c)
		}
	}
	return cols
}

// firstPod is the column that leads from nodes to pods, if it is in the region.
func (m *Mirror) firstPod() []Column {
	if m.wants(Column{ID: FirstPod}) {
		return []Column{{ID: FirstPod, Type: Uint32}}
	}
	return nil
}

// Layout of the mirror's region without the block of the pods, extra columns
// included.
func (m *Mirror) Layout() Layout { return m.layout }

// size of the region.
func (m *Mirror) size() int { return m.layout.Size + m.pods.layout.Size }

// Update copies what changed since the last call into region, which is where
// the plugin's region lies now (nil before the first). It returns what the
// plugin must be told before it is asked anything, nil when nothing.
func (m *Mirror) Update(region []byte) (*Delta, error) {
	t := m.table
	d := Delta{Rows: t.Rows()}
	m.join()
	if m.epoch != t.epoch || m.stale || m.pods.stale(&t.pods) {
		if err := m.relayout(&d); err != nil {
			return nil, err
		}
	} else {
		if len(region) < m.size() {
			return nil, ErrMalformed
		}
		m.bind(region)
		m.copyRows()
		m.pods.writeChanged(&t.pods)
	}
	m.pos = t.Position()
	m.tell(&d)
	if d.Empty() && m.rows == d.Rows {
		return nil, nil
	}
	m.rows = d.Rows
	out := d // mostly there is nothing to tell: only what is told is allocated
	return &out, nil
}

// tell adds what tables have that the plugin was not told of.
func (m *Mirror) tell(d *Delta) {
	t := m.table
	d.Strings = t.strings.values[m.strings:]
	m.strings = len(t.strings.values)
	tellSets(m, TaintSet, &d.TaintSets, t.taintSets.values, &m.taintSets)
	tellSets(m, LabelSet, &d.LabelSets, t.labelSets.values, &m.labelSets)
	tellSets(m, PortSet, &d.PortSets, t.portSets.values, &m.portSets)
	tellSets(m, ImageSet, &d.ImageSets, t.imageSets.values, &m.imageSet)
	if m.edit != t.images.edit && m.wantsSet(ImageSet) {
		for _, s := range t.images.states {
			if s.edit > m.edit {
				d.Images = append(d.Images, s.ref)
			}
		}
		m.edit = t.images.edit
	}
	d.Pods = m.pods.delta(&t.pods)
}

// tellSets adds the sets behind those that were told, if the plugin reads the column
// that numbers them.
func tellSets[T any](m *Mirror, id ID, to *[]T, sets []T, told *int) {
	if *told < len(sets) && m.wantsSet(id) {
		*to, *told = sets[*told:], len(sets)
	}
}

// relayout takes new memory and copies everything.
func (m *Mirror) relayout(d *Delta) error {
	t := m.table
	m.layout = Plan(t.layout.Capacity, slices.Concat(m.columns(), m.firstPod(), m.extra))
	if err := m.pods.plan(&t.pods); err != nil {
		return err
	}
	region, err := m.reserve(m.size())
	if err != nil {
		return err
	}
	if err := m.layout.WriteHeader(region); err != nil {
		return err
	}
	m.region = nil
	m.bind(region)
	for _, p := range m.pairs.i64 {
		copy(p[1], p[0])
	}
	for _, p := range m.pairs.u32 {
		copy(p[1], p[0])
	}
	for row := range t.Rows() {
		m.copyFirst(row)
	}
	if m.pods.layout.Size > 0 {
		if err := m.pods.layout.WriteHeader(region[m.layout.Size:]); err != nil {
			return err
		}
		m.pods.writeAll(&t.pods)
	}
	m.stale, d.Layout = false, true
	if m.epoch == t.epoch {
		return nil // the plugin knows the tables
	}
	m.epoch, m.edit, d.Reset = t.epoch, 0, true
	m.strings, m.taintSets, m.labelSets, m.imageSet, m.portSets = 0, 0, 0, 0, 0
	return nil
}

// bind finds the columns again when the region moved.
func (m *Mirror) bind(region []byte) {
	if len(region) == len(m.region) && len(region) > 0 && &region[0] == &m.region[0] {
		return
	}
	m.region = region
	m.pairs.i64, m.pairs.u32 = nil, nil
	m.first = m.layout.Uint32s(region, FirstPod, 0)
	if m.pods.layout.Size > 0 {
		m.pods.bind(region[m.layout.Size:])
	}
	for _, c := range m.columns() {
		switch c.Type {
		case Int64:
			m.pairs.i64 = append(m.pairs.i64, [2][]int64{m.table.layout.Int64s(m.table.region, c.ID, c.Key), m.layout.Int64s(region, c.ID, c.Key)})
		case Uint32:
			m.pairs.u32 = append(m.pairs.u32, [2][]uint32{m.table.layout.Uint32s(m.table.region, c.ID, c.Key), m.layout.Uint32s(region, c.ID, c.Key)})
		}
	}
}

// copyRows copies the rows that changed.
func (m *Mirror) copyRows() {
	rows, ok := m.table.Since(m.pos)
	if !ok || len(rows) > m.table.Rows() {
		for _, p := range m.pairs.i64 {
			copy(p[1], p[0])
		}
		for _, p := range m.pairs.u32 {
			copy(p[1], p[0])
		}
		for row := range m.table.Rows() {
			m.copyFirst(row)
		}
		return
	}
	for _, row := range rows {
		m.copyFirst(int(row))
		for _, p := range m.pairs.i64 {
			p[1][row] = p[0][row]
		}
		for _, p := range m.pairs.u32 {
			p[1][row] = p[0][row]
		}
	}
}

// copyFirst writes which pod is a node's first.
func (m *Mirror) copyFirst(row int) {
	if m.first != nil {
		m.first[row] = m.table.pods.firstOn(row)
	}
}
