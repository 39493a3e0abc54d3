package columns

import (
	"encoding/binary"
	"slices"
)

// AssignedPods calls yield for every pod that is assigned to a node, whether the
// table has the node or not.
type AssignedPods func(yield func(node string, p *Pod))

// PodTable keeps a row for each pod on a node of a [Table], as long as somebody
// reads columns over pods (RATIONALE.md, "How do plugins see the other pods?").
// A pod keeps its row until it goes; a free row holds no pod and is used again.
// The pods of a node are chained, so that a plugin finds them without a look at
// the others. What the columns hold is not kept here: a [Mirror] writes it from
// the pods into a plugin's memory. Like its Table, it is used by one goroutine at
// a time.
type PodTable struct {
	source AssignedPods
	rowOf  func(node string) (row int, ok bool)
	// readers are the mirrors with columns over pods; without one nothing is
	// kept.
	readers int

	pods       []*Pod   // by row; nil is free
	node       []uint32 // the row of the pod's node plus one; 0 is free
	next, prev []uint32 // rows of pods on the same node, plus one
	sets       []podSets
	free       []uint32
	first      []uint32 // by the node's row: that of its first pod plus one
	capacity   int
	log        rowLog

	epoch     uint64 // of rows and tables
	strings   intern[string, string]
	labelSets intern[string, []LabelRef]
	portSets  intern[string, []PortRef]
	// affinities are records.
	affinities intern[string, string]

	keys []string // of internLabels
	key  []byte
}

// podSets are numbers that take some time to find, plus one; 0: not looked up
// yet.
type podSets struct{ labels, affinity uint32 }

// minPods is the fewest rows that the columns have room for.
const minPods = 256

// Keep says where the pods come from when a plugin begins to read columns over
// them. Without it there are none.
func (a *PodTable) Keep(source AssignedPods) { a.source = source }

// Kept tells whether somebody reads columns over pods.
func (a *PodTable) Kept() bool { return a.readers > 0 }

// Len is the number of pods that have a row.
func (a *PodTable) Len() int { return len(a.pods) - len(a.free) }

// place gives a pod on a node's row a row of its own, as the node's first.
func (a *PodTable) place(node int, p *Pod) {
	if a.wasteful() {
		a.rebuild()
	}
	for node >= len(a.first) {
		a.first = append(a.first, 0)
	}
	at, next := a.take(), a.first[node]
	a.pods[at], a.node[at], a.next[at], a.sets[at] = p, uint32(node+1), next, podSets{}
	if next != 0 {
		a.prev[next-1] = at + 1
	}
	p.slot, a.first[node] = at+1, at+1
	a.touch(at)
}

// take finds a free row.
func (a *PodTable) take() uint32 {
	if n := len(a.free); n > 0 {
		at := a.free[n-1]
		a.free = a.free[:n-1]
		return at
	}
	at := len(a.pods)
	if at >= a.capacity {
		a.capacity = alignUp(at+at/2, 64)
	}
	a.pods, a.node, a.sets = append(a.pods, nil), append(a.node, 0), append(a.sets, podSets{})
	a.next, a.prev = append(a.next, 0), append(a.prev, 0)
	return uint32(at)
}

// displace frees a pod's row; it does nothing for a pod that has none.
func (a *PodTable) displace(p *Pod) {
	if p.slot == 0 {
		return
	}
	at := p.slot - 1
	next, prev := a.next[at], a.prev[at]
	if next != 0 {
		a.prev[next-1] = prev
	}
	if prev != 0 {
		a.next[prev-1] = next
		a.touch(prev - 1)
	} else {
		a.first[a.node[at]-1] = next
	}
	a.release(at)
}

// release frees a row that is in no chain.
func (a *PodTable) release(at uint32) {
	a.pods[at].slot = 0
	a.pods[at], a.node[at], a.next[at], a.prev[at] = nil, 0, 0, 0
	a.free = append(a.free, at)
	a.touch(at)
}

// dropNode frees the rows of a node's pods; the node in the last row, if that is
// another, moves into its place.
func (a *PodTable) dropNode(node, last int) {
	if node < len(a.first) {
		a.each(node, a.release)
		a.first[node] = 0
	}
	if last >= len(a.first) || last == node {
		return
	}
	a.each(last, func(at uint32) {
		a.node[at] = uint32(node + 1)
		a.touch(at)
	})
	a.first[node], a.first[last] = a.first[last], 0
}

// each calls fn for the rows of a node's pods.
func (a *PodTable) each(node int, fn func(at uint32)) {
	for at := a.first[node]; at != 0; {
		next := a.next[at-1]
		fn(at - 1)
		at = next
	}
}

// firstOn is the first pod of a node's row plus one, 0 for none.
func (a *PodTable) firstOn(node int) uint32 {
	if node < len(a.first) {
		return a.first[node]
	}
	return 0
}

func (a *PodTable) touch(at uint32) { a.log.add(int(at), a.capacity) }

// join counts a reader; for the first all pods are taken in.
func (a *PodTable) join() {
	if a.readers++; a.readers > 1 {
		return
	}
	a.reset()
	if a.source == nil {
		return
	}
	a.source(func(node string, p *Pod) {
		if row, ok := a.rowOf(node); ok {
			a.place(row, p)
		}
	})
}

// leave counts a reader off. After the last nothing is kept.
func (a *PodTable) leave() {
	if a.readers--; a.readers > 0 {
		return
	}
	for _, p := range a.pods {
		if p != nil {
			p.slot = 0
		}
	}
	*a = PodTable{source: a.source, rowOf: a.rowOf, epoch: a.epoch}
}

// wasteful tells whether most rows are free, or most of what is interned belongs
// to pods that are gone.
func (a *PodTable) wasteful() bool {
	slack := len(a.pods) + 1024
	return len(a.free) > len(a.pods)/2+1024 || a.strings.grown(slack) || a.labelSets.grown(slack) ||
		a.portSets.grown(slack) || a.affinities.grown(slack)
}

// rebuild gives all pods new rows without gaps; everything is interned again.
func (a *PodTable) rebuild() {
	pods, nodes := a.pods, a.node
	a.reset()
	for at, p := range pods {
		if p != nil {
			a.place(int(nodes[at]-1), p)
		}
	}
}

// reset forgets rows and tables. The empty set of each kind is number 0.
func (a *PodTable) reset() {
	a.epoch++
	a.pods, a.node, a.next, a.prev, a.sets, a.free, a.first = nil, nil, nil, nil, nil, nil, nil
	a.capacity = minPods
	a.log = rowLog{base: a.log.position()}
	a.strings, a.labelSets, a.portSets = intern[string, string]{}, intern[string, []LabelRef]{}, intern[string, []PortRef]{}
	a.affinities = intern[string, string]{}
	a.affinities.add("", "")
	a.labelSets.add("", nil)
	a.portSets.add("", nil)
}

// mark remembers how much is interned once a mirror has written all pods.
func (a *PodTable) mark() {
	a.strings.mark()
	a.labelSets.mark()
	a.portSets.mark()
	a.affinities.mark()
}

// id interns a string; ids begin at 1.
func (a *PodTable) id(s string) uint32 { return a.strings.add(s, s) + 1 }

// labelSet numbers the labels of the pod in a row.
func (a *PodTable) labelSet(row int, labels map[string]string) uint32 {
	x := &a.sets[row].labels
	if *x == 0 {
		*x = a.internLabels(labels) + 1
	}
	return *x - 1
}

// affinity numbers the affinity of the pod in a row.
func (a *PodTable) affinity(row int, p *Pod) uint32 {
	if p.Affinity == nil {
		return 0
	}
	x := &a.sets[row].affinity
	if *x == 0 {
		r := p.Affinity()
		*x = a.affinities.add(r, r) + 1
	}
	return *x - 1
}

func (a *PodTable) internLabels(labels map[string]string) uint32 {
	a.keys, a.key = a.keys[:0], a.key[:0]
	for k := range labels {
		a.keys = append(a.keys, k)
	}
	slices.Sort(a.keys)
	for _, k := range a.keys {
		a.key = binary.LittleEndian.AppendUint32(a.key, a.id(k))
		a.key = binary.LittleEndian.AppendUint32(a.key, a.id(labels[k]))
	}
	if id, ok := a.labelSets.ids[string(a.key)]; ok {
		return id
	}
	refs := make([]LabelRef, len(a.keys))
	for i := range refs {
		refs[i] = LabelRef{binary.LittleEndian.Uint32(a.key[8*i:]), binary.LittleEndian.Uint32(a.key[8*i+4:])}
	}
	return a.labelSets.add(string(a.key), refs)
}

// ports numbers the host ports of a pod.
func (a *PodTable) ports(list []HostPort) uint32 {
	if len(list) == 0 {
		return 0
	}
	var refs []PortRef
	var key []uint32
	for _, p := range slices.Compact(addPorts(nil, list, 1)) {
		r := PortRef{Port: uint32(p.Port), IP: a.id(p.IP), Protocol: a.id(p.Protocol)}
		refs, key = append(refs, r), append(key, r.Port, r.IP, r.Protocol)
	}
	return a.portSets.add(bytesKey(key...), refs)
}

// extended lists the extended resources that pods request.
func (a *PodTable) extended() []string {
	names := map[string]bool{}
	for _, p := range a.pods {
		if p == nil {
			continue
		}
		for _, x := range p.Usage.Requests.Extended {
			names[x.Name] = true
		}
	}
	return sortedKeys(names)
}
