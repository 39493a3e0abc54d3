package columns

// intern numbers distinct values from 0 in the order in which they come.
type intern[K comparable, V any] struct {
	ids    map[K]uint32
	values []V
	base   int // number of values after the last rebuild
}

func (t *intern[K, V]) reset() {
	t.ids, t.values = map[K]uint32{}, nil
}

func (t *intern[K, V]) add(k K, v V) uint32 {
	if id, ok := t.ids[k]; ok {
		return id
	}
	if t.ids == nil {
		t.reset()
	}
	id := uint32(len(t.values))
	t.ids[k] = id
	t.values = append(t.values, v)
	return id
}

func (t *intern[K, V]) find(k K) (uint32, bool) {
	id, ok := t.ids[k]
	return id, ok
}

func (t *intern[K, V]) at(id uint32) V { return t.values[id] }

// mark remembers the size after a rebuild; grown tells whether more than
// twice that and slack came since.
func (t *intern[K, V]) mark() { t.base = len(t.values) }

func (t *intern[K, V]) grown(slack int) bool { return len(t.values) > 2*t.base+slack }

// imageTable counts on how many nodes each image name is. The size is what the
// first node said that had the image.
type imageTable struct {
	ids    map[string]uint32
	names  []string
	states []imageState
	edit   uint64
	base   int // number of names after the last rebuild
}

type imageState struct {
	ref  ImageRef
	edit uint64 // of the table, when ref changed last
}

func (t *imageTable) index(name string, size int64, id func(string) uint32) uint32 {
	i, ok := t.ids[name]
	if !ok {
		if t.ids == nil {
			t.ids = map[string]uint32{}
		}
		i = uint32(len(t.names))
		t.ids[name] = i
		t.names = append(t.names, name)
		t.edit++
		t.states = append(t.states, imageState{ImageRef{Index: i, Name: id(name), Size: size}, t.edit})
	}
	if s := &t.states[i]; s.ref.Nodes == 0 && s.ref.Size != size {
		t.edit++
		s.ref.Size, s.edit = size, t.edit
	}
	return i
}

// replace takes old off and counts now; both are sorted. It tells whether a
// count changed.
func (t *imageTable) replace(old, now []uint32) bool {
	before := t.edit
	count := func(i uint32, by int) {
		t.edit++
		s := &t.states[i]
		s.ref.Nodes = uint32(int(s.ref.Nodes) + by)
		s.edit = t.edit
	}
	i, j := 0, 0
	for i < len(old) || j < len(now) {
		switch {
		case j == len(now) || i < len(old) && old[i] < now[j]:
			count(old[i], -1)
			i++
		case i == len(old) || now[j] < old[i]:
			count(now[j], 1)
			j++
		default:
			i++
			j++
		}
	}
	return t.edit != before
}
