package scheduling

import "github.com/pintle-io/pintle/sdk/wire/columns"

// Node is one node of a [Snapshot]. It is a small handle: pass it by value,
// and do not keep it after the point returned.
type Node struct {
	s   *Snapshot
	row uint32
}

// Name is the node's name.
func (n Node) Name() string { return n.s.String(n.s.cols.name[n.row]) }

// Row is the node's place in the columns.
func (n Node) Row() int { return int(n.row) }

// AllocatableCPU is in thousandths of a core.
func (n Node) AllocatableCPU() int64 { return n.s.cols.allocCPU[n.row] }

// AllocatableMemory is in bytes.
func (n Node) AllocatableMemory() int64 { return n.s.cols.allocMemory[n.row] }

// AllocatableEphemeral is local storage in bytes.
func (n Node) AllocatableEphemeral() int64 { return n.s.cols.allocEphemeral[n.row] }

// AllocatablePods is how many pods the node takes.
func (n Node) AllocatablePods() int64 { return n.s.cols.allocPods[n.row] }

// RequestedCPU is what the node's pods request, in thousandths of a core.
func (n Node) RequestedCPU() int64 { return n.s.cols.requestCPU[n.row] }

// RequestedMemory is what the node's pods request, in bytes.
func (n Node) RequestedMemory() int64 { return n.s.cols.requestMemory[n.row] }

// RequestedEphemeral is what the node's pods request, in bytes.
func (n Node) RequestedEphemeral() int64 { return n.s.cols.requestEphemeral[n.row] }

// Pods is the number of pods on the node.
func (n Node) Pods() int64 { return n.s.cols.requestPods[n.row] }

// NonZeroCPU is RequestedCPU where containers without a request count 100m.
func (n Node) NonZeroCPU() int64 { return n.s.cols.nonZeroCPU[n.row] }

// NonZeroMemory is RequestedMemory where containers without a request count
// 200 MiB.
func (n Node) NonZeroMemory() int64 { return n.s.cols.nonZeroMemory[n.row] }

// Extended returns how much of an extended resource the node has, and how
// much its pods request.
func (n Node) Extended(resource string) (allocatable, requested int64) {
	if c, ok := n.s.cols.extended[n.s.ids[resource]]; ok {
		return c[0][n.row], c[1][n.row]
	}
	return 0, 0
}

// Unschedulable tells whether the node is cordoned (spec.unschedulable).
func (n Node) Unschedulable() bool {
	return n.s.cols.flags[n.row]&columns.FlagUnschedulable != 0
}

// Ready tells whether the node's Ready condition is true.
func (n Node) Ready() bool { return n.s.cols.flags[n.row]&columns.FlagReady != 0 }

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
	return n.s.RareLabel(int(n.s.cols.labelSet[n.row]), id)
}

// Taints of the node. The caller must not change them.
func (n Node) Taints() []Taint {
	if set := n.s.cols.taintSet[n.row]; int(set) < len(n.s.taintSets) {
		return n.s.taintSets[set]
	}
	return nil
}

// PortTaken tells whether the pods on the node leave no room for the host
// port.
func (n Node) PortTaken(p HostPort) bool {
	return len(n.s.cols.portSet) > 0 && n.s.PortTaken(int(n.s.cols.portSet[n.row]), p)
}

// HasImage tells whether the node has an image of that name.
func (n Node) HasImage(name string) bool {
	id, ok := n.s.imageIDs[name]
	set := n.s.cols.imageSet[n.row]
	return ok && int(set) < len(n.s.imageSets) && contains(n.s.imageSets[set], id)
}

// Images of the node.
func (n Node) Images() []Image {
	set := n.s.cols.imageSet[n.row]
	if int(set) >= len(n.s.imageSets) {
		return nil
	}
	out := make([]Image, 0, len(n.s.imageSets[set]))
	for _, i := range n.s.imageSets[set] {
		out = append(out, n.s.image(i))
	}
	return out
}
