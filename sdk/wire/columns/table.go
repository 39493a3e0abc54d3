package columns

import (
	"slices"
	"sort"
	"strings"
)

// Table is the writer's side: it keeps the nodes as columns, interns what they
// share, and remembers which rows changed. Rows are dense: when a node goes,
// the last one takes its row. [Mirror] brings a copy in other memory up to
// date. Pods have columns of their own as long as a mirror reads them. A Table is
// used by one goroutine at a time.
type Table struct {
	entries []*entry
	byName  map[string]int

	strings   intern[string, string]
	taintSets intern[string, []TaintRef]
	labelSets intern[string, []LabelRef]
	imageSets intern[string, []uint32]
	portSets  intern[string, []PortRef]
	images    imageTable

	layout  Layout
	region  []byte
	view    view
	epoch   uint64 // of layout and tables
	cluster uint64 // of what plugins know as the cluster

	log rowLog

	pods PodTable
}

// entry is one node with what its pods use.
type entry struct {
	node  Node
	usage Usage
	pods  int64
	gen   int64
	seen  []uint32 // its images, as counted in the image table
}

// maxDense is the number of labels with a column of their own.
const maxDense = 64

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{byName: map[string]int{}}
	t.pods.rowOf = t.Row
	t.rebuild(0)
	return t
}

// Rows is the number of nodes.
func (t *Table) Rows() int { return len(t.entries) }

// Row finds a node's row.
func (t *Table) Row(name string) (int, bool) {
	row, ok := t.byName[name]
	return row, ok
}

// Node returns what Put was told; the caller must not change it.
func (t *Table) Node(row int) *Node { return &t.entries[row].node }

// Usage returns what the node's pods use, and their number.
func (t *Table) Usage(row int) (Usage, int64) { return t.entries[row].usage, t.entries[row].pods }

// Cluster changes whenever the number of nodes does, or an image's size or the
// number of nodes that have it.
func (t *Table) Cluster() uint64 { return t.cluster }

// Put adds a node, or replaces what is known of it without its usage. It
// returns the node's row.
func (t *Table) Put(n Node) int {
	row, ok := t.byName[n.Name]
	if !ok {
		row = len(t.entries)
		t.entries = append(t.entries, &entry{})
		t.byName[n.Name] = row
		t.cluster++
	}
	e := t.entries[row]
	e.node = n
	e.seen = t.countImages(e.seen, n.Images)
	if row >= t.layout.Capacity || t.wantsColumn(&n) || t.wasteful() {
		t.rebuild(row + 1)
	} else {
		t.write(row)
	}
	t.touch(row)
	return row
}

// Remove takes a node out. The last row moves into its place. The node's pods
// have no rows any more; they are assigned anew when the node comes back.
func (t *Table) Remove(name string) {
	row, ok := t.byName[name]
	if !ok {
		return
	}
	t.countImages(t.entries[row].seen, nil)
	delete(t.byName, name)
	last := len(t.entries) - 1
	t.pods.dropNode(row, last)
	if row != last {
		t.entries[row] = t.entries[last]
		t.byName[t.entries[row].node.Name] = row
	}
	t.entries[last] = nil
	t.entries = t.entries[:last]
	t.cluster++
	if row != last {
		t.write(row)
		t.touch(row)
	}
	t.touch(last)
}

// Pods are the pods on the nodes, when somebody reads columns over them.
func (t *Table) Pods() *PodTable { return &t.pods }

// Assign counts a pod on a node's row.
func (t *Table) Assign(row int, p *Pod) {
	if t.pods.Kept() {
		t.pods.place(row, p)
	}
	t.Use(row, &p.Usage, 1)
}

// Unassign takes a pod off the row that it counts on.
func (t *Table) Unassign(row int, p *Pod) {
	t.pods.displace(p)
	t.Use(row, &p.Usage, -1)
}

// Use counts what a pod uses on a node's row, with sign 1, or takes it off, with -1.
func (t *Table) Use(row int, u *Usage, sign int64) {
	e := t.entries[row]
	e.pods += sign
	a := &e.usage
	a.Requests.MilliCPU += sign * u.Requests.MilliCPU
	a.Requests.Memory += sign * u.Requests.Memory
	a.Requests.Ephemeral += sign * u.Requests.Ephemeral
	a.NonZeroCPU += sign * u.NonZeroCPU
	a.NonZeroMemory += sign * u.NonZeroMemory
	for _, x := range u.Requests.Extended {
		a.Requests.Extended = addAmount(a.Requests.Extended, x.Name, sign*x.Value)
	}
	t.writeRequests(row)
	if len(u.Ports) > 0 {
		a.Ports = addPorts(a.Ports, u.Ports, sign)
		t.view.writePorts(t, row)
		if t.wasteful() {
			t.rebuild(len(t.entries))
		}
	}
	t.touch(row)
}

func addAmount(list []Amount, name string, v int64) []Amount {
	for i := range list {
		if list[i].Name == name {
			list[i].Value += v
			return list
		}
	}
	return append(list, Amount{Name: name, Value: v})
}

// Position is where the log of changes ends now.
func (t *Table) Position() uint64 { return t.log.position() }

// Since returns the rows that changed since a position, some of them
// repeatedly and some no longer there. It answers false when the log does not
// reach back that far: then every row may have changed.
func (t *Table) Since(pos uint64) ([]uint32, bool) { return t.log.since(pos) }

func (t *Table) touch(row int) {
	if row < len(t.entries) {
		e := t.entries[row]
		e.gen++
		t.view.writeTouch(t, row)
	}
	t.log.add(row, t.layout.Capacity)
}

// wantsColumn tells whether the node has an extended resource that has no
// column yet. Labels without a column go to the label sets.
func (t *Table) wantsColumn(n *Node) bool {
	for _, x := range n.Allocatable.Extended {
		id, ok := t.strings.find(x.Name)
		if !ok || t.layout.Find(AllocExtended, id+1) < 0 {
			return true
		}
	}
	return false
}

// wasteful tells whether most of what is interned belongs to nodes that are
// gone, or rare labels have become so common that columns are better.
func (t *Table) wasteful() bool {
	rows := len(t.entries)
	return t.strings.grown(8*rows+1024) || t.taintSets.grown(2*rows+256) ||
		t.labelSets.grown(2*rows+256) || t.portSets.grown(2*rows+256) || t.imageSets.grown(8*rows+1024) ||
		len(t.images.names) > 2*t.images.base+1024
}

// rebuild plans the columns anew from all nodes and interns everything again.
func (t *Table) rebuild(rows int) {
	t.epoch++
	t.strings.reset()
	t.taintSets.reset()
	t.labelSets.reset()
	t.imageSets.reset()
	t.portSets.reset()
	t.images = imageTable{}
	for _, e := range t.entries {
		e.seen = t.countImages(nil, e.node.Images)
	}
	capacity := t.layout.Capacity
	if rows > capacity {
		capacity = max(64, min(alignUp(rows+rows/4, 64), MaxRows))
	}
	t.layout = Plan(capacity, t.plan())
	t.region = t.layout.Region()
	t.view = newView(t.layout, t.region)
	for row := range t.entries {
		t.write(row)
		t.view.writeTouch(t, row)
	}
	t.strings.mark()
	t.taintSets.mark()
	t.labelSets.mark()
	t.imageSets.mark()
	t.portSets.mark()
	t.images.base = len(t.images.names)
}

// plan lists the columns that the present nodes need.
func (t *Table) plan() []Column {
	cols := slices.Clone(fixedColumns)
	count := map[string]int{}
	extended := map[string]bool{}
	for _, e := range t.entries {
		for k := range e.node.Labels {
			count[k]++
		}
		for _, x := range e.node.Allocatable.Extended {
			extended[x.Name] = true
		}
	}
	for _, name := range sortedKeys(extended) {
		id := t.id(name)
		cols = append(cols, Column{ID: AllocExtended, Type: Int64, Key: id}, Column{ID: RequestExtended, Type: Int64, Key: id})
	}
	keys := sortedKeys(count)
	sort.SliceStable(keys, func(i, j int) bool { return count[keys[i]] > count[keys[j]] })
	for i, k := range keys {
		if i == maxDense || count[k]*16 < len(t.entries) {
			break
		}
		cols = append(cols, Column{ID: Label, Type: Uint32, Key: t.id(k)})
	}
	return cols
}

// id interns a string; ids of strings begin at 1.
func (t *Table) id(s string) uint32 { return t.strings.add(s, s) + 1 }

// write writes all columns of a row.
func (t *Table) write(row int) {
	t.view.writeState(t, row)
	t.view.writePorts(t, row)
	for _, x := range t.view.extended {
		x.alloc[row] = t.entries[row].node.Allocatable.Of(t.strings.at(x.key - 1))
	}
	t.writeRequests(row)
}

// writeRequests writes what the node's pods request.
func (t *Table) writeRequests(row int) {
	t.view.writeUsage(t, row)
	for _, x := range t.view.extended {
		x.request[row] = t.entries[row].usage.Requests.Of(t.strings.at(x.key - 1))
	}
}

func (t *Table) taints(list []Taint) uint32 {
	refs := make([]TaintRef, len(list))
	key := make([]uint32, 0, 3*len(list))
	for i, x := range list {
		refs[i] = TaintRef{t.id(x.Key), t.id(x.Value), t.id(x.Effect)}
		key = append(key, refs[i].Key, refs[i].Value, refs[i].Effect)
	}
	return t.taintSets.add(bytesKey(key...), refs)
}

// labels writes the dense columns of a row and returns the set of the other
// labels.
func (t *Table) labels(row int, labels map[string]string) uint32 {
	for _, d := range t.view.dense {
		v, ok := labels[t.strings.at(d.key-1)]
		d.values[row] = 0
		if ok {
			d.values[row] = t.id(v)
		}
	}
	var refs []LabelRef
	var key []uint32
	for _, k := range sortedKeys(labels) {
		if kid := t.id(k); !t.view.isDense(kid) {
			refs = append(refs, LabelRef{kid, t.id(labels[k])})
		}
	}
	for _, r := range refs {
		key = append(key, r.Key, r.Value)
	}
	return t.labelSets.add(bytesKey(key...), refs)
}

// countImages replaces a node's images in the image table and returns them as
// sorted indexes.
func (t *Table) countImages(old []uint32, images []Image) []uint32 {
	var seen []uint32
	for _, m := range images {
		for _, name := range m.Names {
			seen = append(seen, t.images.index(name, m.Size, t.id))
		}
	}
	slices.Sort(seen)
	seen = slices.Compact(seen)
	if t.images.replace(old, seen) {
		t.cluster++
	}
	return seen
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func bytesKey(list ...uint32) string {
	var b strings.Builder
	for _, v := range list {
		b.Write([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
	}
	return b.String()
}
