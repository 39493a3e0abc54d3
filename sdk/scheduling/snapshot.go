package scheduling

import (
	"sort"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Snapshot is all nodes at the moment of a decision.
type Snapshot struct {
	rows   int
	region []byte
	layout columns.Layout
	cols   fixedColumns
	labels map[uint32][]uint32   // columns of labels, by key
	scalar map[uint32][2][]int64 // columns of extended resources, by key
	asks   asks
	counts countsOf
	pods   podTables
	reader client.Reader // nil in tests

	strings   []string // string id 1 is strings[0]
	ids       map[string]uint32
	taintSets [][]Taint
	labelSets [][]columns.LabelRef
	imageSets [][]uint32
	portSets  [][]columns.PortRef
	images    []columns.ImageRef
	imageIDs  map[string]uint32

	// last remembers the last label asked for: filters ask for the same one
	// on every node.
	last struct {
		key string
		id  uint32
		col []uint32
	}
	reads schedule.Reads
}

// Image is an image that a node has.
type Image struct {
	Name string
	Size int64 // bytes
	// Nodes is on how many nodes of the cluster the image is.
	Nodes int
}

// NewSnapshot makes a snapshot of nodes, for tests of plugins.
func NewSnapshot(nodes ...NodeInfo) *Snapshot {
	t := schedule.NewTable(nodes...)
	var region []byte
	m := columns.NewMirror(t, nil, func(size int) ([]byte, error) {
		region = columns.Alloc(size)
		return region, nil
	})
	m.WantAll()
	s := &Snapshot{}
	if d, err := m.Update(nil); err == nil {
		_ = s.apply(d, region) // a delta of our own table is well formed
	}
	return s
}

// Len is the number of nodes. It does not change the scope of a verdict only
// because the kernel asks again when it changes.
func (s *Snapshot) Len() int {
	s.reads |= schedule.ReadCluster
	return s.rows
}

// Node returns the node in a row, 0 to Len()-1. Verdicts of a plugin that
// looks at other nodes than the one it is asked about are not remembered.
func (s *Snapshot) Node(row int) (Node, bool) {
	s.reads |= schedule.ReadNodes
	if row < 0 || row >= s.rows {
		return Node{}, false
	}
	return Node{s, uint32(row)}, true
}

// StringID returns the number of a string in the columns; 0 when no node has
// it.
func (s *Snapshot) StringID(v string) uint32 { return s.ids[v] }

// String returns the string of a number.
func (s *Snapshot) String(id uint32) string {
	if id == 0 || int(id) > len(s.strings) {
		return ""
	}
	return s.strings[id-1]
}

// TaintSets lists the distinct taint lists of all nodes; the TaintSet column
// holds indexes. The caller must not change it.
func (s *Snapshot) TaintSets() [][]Taint {
	s.needs(s.cols.taintSet, columns.TaintSet)
	return s.taintSets
}

// LabelSets is the number of distinct sets of rare labels; the LabelSet column
// holds indexes.
func (s *Snapshot) LabelSets() int {
	s.needs(s.cols.labelSet, columns.LabelSet)
	return len(s.labelSets)
}

// RareLabel looks up a label in a set of rare labels; "" and false when the
// set does not have it.
func (s *Snapshot) RareLabel(set int, key uint32) (string, bool) {
	if set < 0 || set >= len(s.labelSets) {
		return "", false
	}
	for _, l := range s.labelSets[set] {
		if l.Key == key {
			return s.String(l.Value), true
		}
	}
	return "", false
}

// PortSets is the number of distinct sets of host ports in use on nodes; the
// PortSet column holds indexes.
func (s *Snapshot) PortSets() int {
	s.needs(s.cols.portSet, columns.PortSet)
	return len(s.portSets)
}

// PortTaken tells whether a pod cannot have the port where the host ports of a
// set are in use.
func (s *Snapshot) PortTaken(set int, p HostPort) bool {
	if set < 0 || set >= len(s.portSets) {
		return false
	}
	return taken(s.portSets[set], p, s.String)
}

// taken tells whether a port overlaps with one of a set, which is sorted.
func taken(set []columns.PortRef, p HostPort, str func(id uint32) string) bool {
	at := sort.Search(len(set), func(i int) bool { return set[i].Port >= uint32(p.Port) })
	for _, r := range set[at:] {
		if r.Port != uint32(p.Port) {
			break
		}
		if p.Overlaps(HostPort{IP: str(r.IP), Protocol: str(r.Protocol), Port: p.Port}) {
			return true
		}
	}
	return false
}

// Image returns what is known of an image; false when no node ever had it.
func (s *Snapshot) Image(name string) (Image, bool) {
	s.needs(s.cols.imageSet, columns.ImageSet)
	i, ok := s.imageIDs[name]
	if !ok {
		return Image{}, false
	}
	return s.image(i), true
}

func (s *Snapshot) image(i uint32) Image {
	s.reads |= schedule.ReadCluster
	if int(i) >= len(s.images) {
		return Image{}
	}
	m := s.images[i]
	return Image{Name: s.String(m.Name), Size: m.Size, Nodes: int(m.Nodes)}
}

// ImageSets calls fn for every distinct set of images; the ImageSet column
// holds indexes. has tells whether the set has the image.
func (s *Snapshot) ImageSets(fn func(set int, has func(image string) bool)) {
	s.needs(s.cols.imageSet, columns.ImageSet)
	for i, set := range s.imageSets {
		fn(i, func(image string) bool {
			want, ok := s.imageIDs[image]
			return ok && contains(set, want)
		})
	}
}

// contains searches a sorted list.
func contains(set []uint32, v uint32) bool {
	lo, hi := 0, len(set)
	for lo < hi {
		mid := (lo + hi) / 2
		if set[mid] < v {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(set) && set[lo] == v
}

// apply brings the tables up to date and finds the columns.
func (s *Snapshot) apply(d *columns.Delta, region []byte) error {
	if d.Reset {
		*s = Snapshot{reads: s.reads, region: s.region, layout: s.layout, cols: s.cols, labels: s.labels, scalar: s.scalar, asks: s.asks, counts: s.counts, pods: s.pods, reader: s.reader}
		s.ids, s.imageIDs = map[string]uint32{}, map[string]uint32{}
	}
	s.last.key, s.last.col, s.last.id = "", nil, 0
	for _, v := range d.Strings {
		s.strings = append(s.strings, v)
		s.ids[v] = uint32(len(s.strings))
	}
	for _, set := range d.TaintSets {
		list := make([]Taint, len(set))
		for i, t := range set {
			list[i] = Taint{Key: s.String(t.Key), Value: s.String(t.Value), Effect: s.String(t.Effect)}
		}
		s.taintSets = append(s.taintSets, list)
	}
	s.labelSets = append(s.labelSets, d.LabelSets...)
	s.imageSets = append(s.imageSets, d.ImageSets...)
	s.portSets = append(s.portSets, d.PortSets...)
	for _, m := range d.Images {
		for int(m.Index) >= len(s.images) {
			if len(s.images) > columns.MaxRows {
				return wire.Errorf(wire.KindProtocol, "image %d", m.Index)
			}
			s.images = append(s.images, columns.ImageRef{})
		}
		s.images[m.Index] = m
		s.imageIDs[s.String(m.Name)] = m.Index
	}
	if d.Layout {
		layout, err := columns.Parse(region)
		if err != nil {
			return wire.Errorf(wire.KindProtocol, "snapshot: %v", err)
		}
		s.layout, s.region = layout, nil
		if err := s.pods.parse(region[layout.Size:]); err != nil {
			return wire.Errorf(wire.KindProtocol, "snapshot of pods: %v", err)
		}
	}
	if d.Pods != nil {
		s.pods.apply(d.Pods)
	}
	s.rows = d.Rows
	return s.bind(region)
}

// bind finds the columns when the region is new or moved.
func (s *Snapshot) bind(region []byte) error {
	if len(s.region) > 0 && len(region) == len(s.region) && &region[0] == &s.region[0] {
		return s.check()
	}
	l := &s.layout
	s.cols.bind(l, region)
	s.labels, s.scalar = map[uint32][]uint32{}, map[uint32][2][]int64{}
	for _, c := range l.Columns {
		switch c.ID {
		case columns.Label:
			if col := l.Uint32s(region, c.ID, c.Key); col != nil {
				s.labels[c.Key] = col
			}
		case columns.AllocExtended:
			alloc, used := l.Int64s(region, c.ID, c.Key), l.Int64s(region, columns.RequestExtended, c.Key)
			if alloc != nil && used != nil {
				s.scalar[c.Key] = [2][]int64{alloc, used}
			}
		}
	}
	s.pods.bind(region[l.Size:])
	s.region = region
	s.last.key, s.last.col, s.last.id = "", nil, 0
	return s.check()
}

// check makes sure that the columns are long enough, so that the accessors
// need not ask.
func (s *Snapshot) check() error {
	if s.layout.Capacity < s.rows {
		return wire.Errorf(wire.KindProtocol, "a snapshot of %d rows in columns of %d", s.rows, s.layout.Capacity)
	}
	return nil
}

// label finds the column of a common label; col is nil for a rare one and id 0
// for one that no node has.
func (s *Snapshot) label(key string) (id uint32, col []uint32) {
	if key == s.last.key && key != "" {
		return s.last.id, s.last.col
	}
	id = s.ids[key]
	if col = s.labels[id]; col == nil && id != 0 {
		s.ask(columns.Label, key)
	}
	s.last.key, s.last.id, s.last.col = key, id, col
	return id, col
}

// extended finds the columns of an extended resource; false when no node has
// it, or the plugin does not have them yet.
func (s *Snapshot) extended(resource string) ([2][]int64, bool) {
	id := s.ids[resource]
	c, ok := s.scalar[id]
	if !ok && id != 0 {
		s.ask(columns.AllocExtended, resource)
		s.ask(columns.RequestExtended, resource)
	}
	return c, ok
}

// needs asks for the column that numbers sets when the plugin does not have it.
func (s *Snapshot) needs(col []uint32, id columns.ID) {
	if col == nil {
		s.ask(id, "")
	}
}
