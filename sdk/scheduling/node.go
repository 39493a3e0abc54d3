package scheduling

import "github.com/pintle-io/pintle/sdk/wire/columns"

// Node is one node of a [Snapshot]. It is a small handle: pass it by value,
// and do not keep it after the point returned.
type Node struct {
	s   *Snapshot
	row uint32
}

// Name is the node's name.
func (n Node) Name() string {
	return n.s.String(n.uint32(n.s.cols.name, columns.Name))
}

// Row is the node's place in the columns.
func (n Node) Row() int { return int(n.row) }

// uint32 is the node's element of a column; 0 and a question for the column
// when the plugin does not have it yet.
func (n Node) uint32(col []uint32, id columns.ID) uint32 {
	if int(n.row) < len(col) {
		return col[n.row]
	}
	n.s.ask(id, "")
	return 0
}

// Extended returns how much of an extended resource the node has, and how
// much its pods request.
func (n Node) Extended(resource string) (allocatable, requested int64) {
	if c, ok := n.s.extended(resource); ok {
		return c[0][n.row], c[1][n.row]
	}
	return 0, 0
}

// Unschedulable tells whether the node is cordoned (spec.unschedulable).
func (n Node) Unschedulable() bool {
	return n.uint32(n.s.cols.flags, columns.Flags)&columns.FlagUnschedulable != 0
}

// Ready tells whether the node's Ready condition is true.
func (n Node) Ready() bool {
	return n.uint32(n.s.cols.flags, columns.Flags)&columns.FlagReady != 0
}

// Label returns a label's value and whether the node has it.
func (n Node) Label(key string) (string, bool) {
	id, col := n.s.label(key)
	if id == 0 {
		return "", false
	}
	if col != nil {
		v := col[n.row]
		return n.s.String(v), v != 0
	}
	return n.s.RareLabel(int(n.uint32(n.s.cols.labelSet, columns.LabelSet)), id)
}

// Taints of the node. The caller must not change them.
func (n Node) Taints() []Taint {
	if set := n.uint32(n.s.cols.taintSet, columns.TaintSet); int(set) < len(n.s.taintSets) {
		return n.s.taintSets[set]
	}
	return nil
}

// PortTaken tells whether the pods on the node leave no room for the host
// port.
func (n Node) PortTaken(p HostPort) bool {
	return n.s.PortTaken(int(n.uint32(n.s.cols.portSet, columns.PortSet)), p)
}

// HasImage tells whether the node has an image of that name.
func (n Node) HasImage(name string) bool {
	set := n.uint32(n.s.cols.imageSet, columns.ImageSet)
	id, ok := n.s.imageIDs[name]
	return ok && int(set) < len(n.s.imageSets) && contains(n.s.imageSets[set], id)
}

// Images of the node.
func (n Node) Images() []Image {
	set := n.uint32(n.s.cols.imageSet, columns.ImageSet)
	if int(set) >= len(n.s.imageSets) {
		return nil
	}
	out := make([]Image, 0, len(n.s.imageSets[set]))
	for _, i := range n.s.imageSets[set] {
		out = append(out, n.s.image(i))
	}
	return out
}
