package columns

import "github.com/pintle-io/pintle/sdk/wire"

// Delta brings a reader's tables up to date. String ids begin at 1 and count
// up in the order in which strings are sent; 0 means absent. Sets are numbered
// from 0.
type Delta struct {
	// Reset: forget all tables first.
	Reset bool
	// Layout: the region is new or its header changed.
	Layout bool
	Rows   int
	// Strings and sets are appended to what the reader has.
	Strings   []string
	TaintSets [][]TaintRef
	LabelSets [][]LabelRef
	ImageSets [][]uint32  // indexes of images
	PortSets  [][]PortRef // sorted by port
	// Images are new or changed.
	Images []ImageRef
	// Pods is what belongs to the columns over pods; nil when nothing is new.
	Pods *PodDelta
}

// PodDelta is as [Delta], for the columns over pods: their strings and sets are
// numbered apart from those of the nodes.
type PodDelta struct {
	// Reset: forget these tables first.
	Reset     bool
	Strings   []string
	LabelSets [][]LabelRef // sorted by the names of the labels
	PortSets  [][]PortRef  // sorted by port
	// Affinities are records of spec.affinity, without its nodeAffinity.
	Affinities []string
}

// Empty tells whether the reader's tables are unchanged.
func (d *Delta) Empty() bool {
	return !d.Reset && !d.Layout && len(d.Strings) == 0 && len(d.TaintSets) == 0 &&
		len(d.LabelSets) == 0 && len(d.ImageSets) == 0 && len(d.Images) == 0 && len(d.PortSets) == 0 && d.Pods == nil
}

// TaintRef is a taint by string ids.
type TaintRef struct{ Key, Value, Effect uint32 }

// LabelRef is a label by string ids.
type LabelRef struct{ Key, Value uint32 }

// PortRef is a host port; address and protocol are string ids.
type PortRef struct{ Port, IP, Protocol uint32 }

// ImageRef is the state of one image.
type ImageRef struct {
	Index uint32
	Name  uint32 // string id
	Size  int64  // bytes
	Nodes uint32 // that have it
}

// Append encodes the delta.
func (d *Delta) Append(b []byte) []byte {
	b = wire.AppendBool(wire.AppendBool(b, d.Reset), d.Layout)
	b = wire.AppendUint(b, uint64(d.Rows))
	b = wire.AppendStrings(b, d.Strings)
	b = wire.AppendUint(b, uint64(len(d.TaintSets)))
	for _, set := range d.TaintSets {
		b = wire.AppendUint(b, uint64(len(set)))
		for _, t := range set {
			b = appendUints(b, t.Key, t.Value, t.Effect)
		}
	}
	b = appendLabelSets(b, d.LabelSets)
	b = wire.AppendUint(b, uint64(len(d.ImageSets)))
	for _, set := range d.ImageSets {
		b = wire.AppendUint(b, uint64(len(set)))
		b = appendUints(b, set...)
	}
	b = wire.AppendUint(b, uint64(len(d.Images)))
	for _, m := range d.Images {
		b = appendUints(b, m.Index, m.Name, m.Nodes)
		b = wire.AppendInt(b, m.Size)
	}
	b = wire.AppendBool(appendPortSets(b, d.PortSets), d.Pods != nil)
	if p := d.Pods; p != nil {
		b = wire.AppendStrings(wire.AppendBool(b, p.Reset), p.Strings)
		b = wire.AppendStrings(appendPortSets(appendLabelSets(b, p.LabelSets), p.PortSets), p.Affinities)
	}
	return b
}

func appendLabelSets(b []byte, list [][]LabelRef) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for _, set := range list {
		b = wire.AppendUint(b, uint64(len(set)))
		for _, l := range set {
			b = appendUints(b, l.Key, l.Value)
		}
	}
	return b
}

func appendPortSets(b []byte, list [][]PortRef) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for _, set := range list {
		b = wire.AppendUint(b, uint64(len(set)))
		for _, p := range set {
			b = appendUints(b, p.Port, p.IP, p.Protocol)
		}
	}
	return b
}

// ReadDelta reads what Append wrote.
func ReadDelta(b []byte) (*Delta, error) {
	r := wire.NewReader(b)
	d := &Delta{Reset: r.Bool(), Layout: r.Bool(), Rows: int(r.Uint()), Strings: r.Strings()}
	for range r.Count(1) {
		set := make([]TaintRef, r.Count(3))
		for i := range set {
			set[i] = TaintRef{u32(r), u32(r), u32(r)}
		}
		d.TaintSets = append(d.TaintSets, set)
	}
	d.LabelSets = readLabelSets(r)
	for range r.Count(1) {
		set := make([]uint32, r.Count(1))
		for i := range set {
			set[i] = u32(r)
		}
		d.ImageSets = append(d.ImageSets, set)
	}
	for range r.Count(4) {
		d.Images = append(d.Images, ImageRef{Index: u32(r), Name: u32(r), Nodes: u32(r), Size: r.Int()})
	}
	d.PortSets = readPortSets(r)
	if r.Bool() {
		d.Pods = &PodDelta{Reset: r.Bool(), Strings: r.Strings(), LabelSets: readLabelSets(r), PortSets: readPortSets(r), Affinities: r.Strings()}
	}
	if d.Rows < 0 || d.Rows > MaxRows {
		return nil, wire.Errorf(wire.KindProtocol, "%d rows", d.Rows)
	}
	return d, r.Err()
}

func readLabelSets(r *wire.Reader) [][]LabelRef {
	var out [][]LabelRef
	for range r.Count(1) {
		set := make([]LabelRef, r.Count(2))
		for i := range set {
			set[i] = LabelRef{u32(r), u32(r)}
		}
		out = append(out, set)
	}
	return out
}

func readPortSets(r *wire.Reader) [][]PortRef {
	var out [][]PortRef
	for range r.Count(1) {
		set := make([]PortRef, r.Count(3))
		for i := range set {
			set[i] = PortRef{u32(r), u32(r), u32(r)}
		}
		out = append(out, set)
	}
	return out
}

func u32(r *wire.Reader) uint32 { return uint32(r.Uint()) }

func appendUints(b []byte, list ...uint32) []byte {
	for _, v := range list {
		b = wire.AppendUint(b, uint64(v))
	}
	return b
}
