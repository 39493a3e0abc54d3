package schedule

import "github.com/pintle-io/pintle/sdk/wire"

// PodCounts asks for numbers of pods by topology domain: the pods in some
// namespaces that a selector matches, counted over the nodes that share a value
// of a label.
type PodCounts struct {
	// TopologyKey is the label whose values are the domains.
	TopologyKey string
	// Namespaces of the pods that count; none means all.
	Namespaces []string
	// Selector over the pods' labels, as kubectl -l takes it; "" matches all.
	Selector string
	// SkipTerminating leaves out the pods that are being deleted.
	SkipTerminating bool
}

// CountsAt says where the counts are that the pod's PreFilter asked for.
type CountsAt struct {
	Slot     uint32 // key of the DomainPods column
	Domains  uint32 // that have a node
	Min, Max int64  // pods in one of them
}

func appendCounts(b []byte, list []PodCounts) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for i := range list {
		c := &list[i]
		b = wire.AppendStrings(wire.AppendString(b, c.TopologyKey), c.Namespaces)
		b = wire.AppendBool(wire.AppendString(b, c.Selector), c.SkipTerminating)
	}
	return b
}

func readCounts(r *wire.Reader) []PodCounts {
	var out []PodCounts
	for range r.Count(4) {
		out = append(out, PodCounts{TopologyKey: r.Str(), Namespaces: r.Strings(), Selector: r.Str(), SkipTerminating: r.Bool()})
	}
	return out
}

func appendCountsAt(b []byte, list []CountsAt) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for _, c := range list {
		b = wire.AppendUint(wire.AppendUint(b, uint64(c.Slot)), uint64(c.Domains))
		b = wire.AppendInt(wire.AppendInt(b, c.Min), c.Max)
	}
	return b
}

func readCountsAt(r *wire.Reader, out []CountsAt) []CountsAt {
	out = out[:0]
	for range r.Count(4) {
		out = append(out, CountsAt{Slot: uint32(r.Uint()), Domains: uint32(r.Uint()), Min: r.Int(), Max: r.Int()})
	}
	return out
}
