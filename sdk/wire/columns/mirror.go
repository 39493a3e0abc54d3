package columns

import "slices"

// Mirror keeps the copy of a [Table] in one plugin's region up to date.
type Mirror struct {
	table *Table
	extra []Column
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
}

// NewMirror prepares a mirror of t. extra are columns beyond the table's own
// (results). reserve is called when the layout changes.
func NewMirror(t *Table, extra []Column, reserve func(size int) ([]byte, error)) *Mirror {
	return &Mirror{table: t, extra: extra, reserve: reserve}
}

// Layout of the mirror's region, extra columns included.
func (m *Mirror) Layout() Layout { return m.layout }

// Update copies what changed since the last call into region, which is where
// the plugin's region lies now (nil before the first). It returns what the
// plugin must be told before it is asked anything, nil when nothing.
func (m *Mirror) Update(region []byte) (*Delta, error) {
	t := m.table
	d := &Delta{Rows: t.Rows()}
	if m.epoch != t.epoch {
		if err := m.relayout(d); err != nil {
			return nil, err
		}
	} else {
		if len(region) < m.layout.Size {
			return nil, ErrMalformed
		}
		m.bind(region)
		m.copyRows()
	}
	m.pos = t.Position()
	d.Strings = t.strings.values[m.strings:]
	d.TaintSets = t.taintSets.values[m.taintSets:]
	d.LabelSets = t.labelSets.values[m.labelSets:]
	d.ImageSets = t.imageSets.values[m.imageSet:]
	d.PortSets = t.portSets.values[m.portSets:]
	m.strings, m.taintSets = len(t.strings.values), len(t.taintSets.values)
	m.labelSets, m.imageSet = len(t.labelSets.values), len(t.imageSets.values)
	m.portSets = len(t.portSets.values)
	if m.edit != t.images.edit {
		for _, s := range t.images.states {
			if s.edit > m.edit {
				d.Images = append(d.Images, s.ref)
			}
		}
		m.edit = t.images.edit
	}
	if d.Empty() && m.rows == d.Rows {
		return nil, nil
	}
	m.rows = d.Rows
	return d, nil
}

// relayout takes new memory and copies everything.
func (m *Mirror) relayout(d *Delta) error {
	t := m.table
	m.layout = Plan(t.layout.Capacity, slices.Concat(t.layout.Columns, m.extra))
	region, err := m.reserve(m.layout.Size)
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
	m.epoch, m.edit = t.epoch, 0
	m.strings, m.taintSets, m.labelSets, m.imageSet, m.portSets = 0, 0, 0, 0, 0
	d.Reset, d.Layout = true, true
	return nil
}

// bind finds the columns again when the region moved.
func (m *Mirror) bind(region []byte) {
	if len(region) == len(m.region) && len(region) > 0 && &region[0] == &m.region[0] {
		return
	}
	m.region = region
	m.pairs.i64, m.pairs.u32 = nil, nil
	for _, c := range m.table.layout.Columns {
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
		return
	}
	for _, row := range rows {
		for _, p := range m.pairs.i64 {
			p[1][row] = p[0][row]
		}
		for _, p := range m.pairs.u32 {
			p[1][row] = p[0][row]
		}
	}
}
