package volumebinding

import (
	"slices"
	"strings"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/nodeselector"
)

// where says on which nodes something can be used.
type where struct {
	anywhere bool
	terms    []nodeselector.Term // else on those that one of these matches
}

// on tells whether that is so on one node.
func (x *where) on(n scheduling.Node) bool {
	return x.anywhere || slices.ContainsFunc(x.terms, func(t nodeselector.Term) bool { return t.Matches(n) })
}

// whereOf is the node affinity of a volume.
func whereOf(v *volume, s *scheduling.Snapshot) where {
	terms, anywhere := termsOf(v)
	x := where{anywhere: anywhere}
	for i := range terms {
		if t, ok := nodeselector.NewTerm(&terms[i], s); ok {
			x.terms = append(x.terms, t)
		}
	}
	return x
}

// termsOf are the terms of a volume's node affinity. They are asked about labels
// alone, as upstream does: to a volume a node has no name.
func termsOf(v *volume) (terms []scheduling.NodeTerm, anywhere bool) {
	if v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
		return nil, true
	}
	for _, t := range v.Spec.NodeAffinity.Required.Terms {
		if slices.ContainsFunc(t.Fields, func(q scheduling.Requirement) bool { return q.Operator != "NotIn" || len(q.Values) != 1 }) {
			continue
		}
		if len(t.Expressions) == 0 {
			anywhere = anywhere || len(t.Fields) > 0
			continue
		}
		terms = append(terms, scheduling.NodeTerm{Expressions: t.Expressions})
	}
	return terms, anywhere
}

// usableWith tells whether a volume can be used on a node of these labels.
func (v *volume) usableWith(labels map[string]string) bool {
	terms, anywhere := termsOf(v)
	return anywhere || slices.ContainsFunc(terms, func(t scheduling.NodeTerm) bool { return nodeselector.MatchesLabels(&t, "", labels) })
}

// suits tells whether a volume could be the claim's on some node, leaving out what
// only one that is nobody's must meet.
func (v *volume) suits(c *claim) bool {
	return (v.Spec.ClaimRef == nil || v.Spec.ClaimRef.names(&c.Metadata.meta)) &&
		v.class() == c.class() && v.size().Cmp(c.size()) >= 0 && mode(v.Spec.VolumeMode) == mode(c.Spec.VolumeMode) &&
		either(v.Spec.AttributesClass, nil) == either(c.Spec.AttributesClass, nil) && v.Metadata.DeletionTimestamp == nil
}

// free tells whether a volume that suits a claim and is nobody's can be given to it.
func (v *volume) free(c *claim) bool {
	return v.Status.Phase == "Available" && (c.Spec.Selector == nil || c.Spec.Selector.Matches(v.Metadata.Labels)) &&
		!slices.ContainsFunc(c.Spec.AccessModes, func(m string) bool { return !slices.Contains(v.Spec.AccessModes, m) })
}

func mode(m *string) string {
	if m == nil {
		return "Filesystem"
	}
	return *m
}

// candidates are the volumes that a claim could get.
type candidates struct {
	reserved *volume // for the claim: no other is taken
	list     []*volume
	where    []where // of reserved, or of list
	index    index
}

// candidatesOf lists the volumes for a claim, the smallest first, as upstream wants the
// smallest that fits.
func candidatesOf(c *claim, all []*volume, s *scheduling.Snapshot) candidates {
	var x candidates
	for _, v := range all {
		switch {
		case !v.suits(c):
		case v.Spec.ClaimRef != nil:
			return candidates{reserved: v, where: []where{whereOf(v, s)}}
		case v.free(c):
			x.list = append(x.list, v)
		}
	}
	slices.SortStableFunc(x.list, func(a, b *volume) int { return a.size().Cmp(b.size()) })
	for i, v := range x.list {
		x.where = append(x.where, whereOf(v, s))
		x.index.add(i, &x.where[i])
	}
	return x
}

// on is the volume for the claim on a node that is not among those taken; nil when
// there is none.
func (x *candidates) on(n scheduling.Node, taken []binding) *volume {
	if x.reserved != nil {
		if x.where[0].on(n) && !isTaken(x.reserved, taken) {
			return x.reserved
		}
		return nil
	}
	i := x.index.first(n, func(i int) bool { return x.where[i].on(n) && !isTaken(x.list[i], taken) })
	if i < 0 {
		return nil
	}
	return x.list[i]
}

func isTaken(v *volume, taken []binding) bool {
	return slices.ContainsFunc(taken, func(b binding) bool { return b.volume == v })
}

// index finds the first of many things that can be used on a node without looking at
// all: most local volumes name one value of one label.
type index struct {
	keys []string
	by   map[string]map[string][]int // label, value → things in order
	rest []int                       // things of which nothing can be said
}

func (x *index) add(i int, w *where) {
	type at struct{ key, value string }
	var places []at
	for k := range w.terms {
		key, values, ok := w.terms[k].Values()
		if !ok {
			places = nil
			break
		}
		for _, v := range values {
			if p := (at{key, v}); !slices.Contains(places, p) {
				places = append(places, p)
			}
		}
	}
	if w.anywhere || len(w.terms) > 0 && len(places) == 0 {
		x.rest = append(x.rest, i)
		return
	}
	for _, p := range places {
		if x.by == nil {
			x.by = map[string]map[string][]int{}
		}
		if x.by[p.key] == nil {
			x.by[p.key] = map[string][]int{}
			x.keys = append(x.keys, p.key)
		}
		x.by[p.key][p.value] = append(x.by[p.key][p.value], i)
	}
}

// first is the lowest number that ok accepts; -1 when there is none.
func (x *index) first(n scheduling.Node, ok func(int) bool) int {
	best := -1
	look := func(list []int) {
		for _, i := range list {
			if best >= 0 && i >= best {
				return
			}
			if ok(i) {
				best = i
				return
			}
		}
	}
	look(x.rest)
	for _, key := range x.keys {
		if v, has := n.Label(key); has {
			look(x.by[key][v])
		}
	}
	return best
}

// room says where volumes of a claim can be made.
type room struct {
	none   bool  // nowhere: the class makes none
	nodes  where // that the class allows
	scarce bool  // there must be capacity, too
	pools  []where
	index  index // of pools
}

// roomOf is that of a claim; all are the capacities of the class's driver, and counted
// tells whether that says how much there is.
func roomOf(c *claim, k *class, counted bool, all []*capacity, s *scheduling.Snapshot) room {
	if k == nil || !k.provisions() {
		return room{none: true}
	}
	x := room{nodes: allowed(k.Topologies, s)}
	if _, asks := c.Spec.Resources.Requests["storage"]; !counted || !asks {
		return x
	}
	x.scarce = true
	for _, p := range all {
		if p.Class == k.Metadata.Name && p.takes(c.size()) && p.Topology != nil {
			x.pools = append(x.pools, selected(p.Topology, s))
		}
	}
	for i := range x.pools {
		x.index.add(i, &x.pools[i])
	}
	return x
}

// allowed are the nodes that the topologies of a class name; all when there are none.
func allowed(list []topology, s *scheduling.Snapshot) where {
	x := where{anywhere: len(list) == 0}
	for _, t := range list {
		var term scheduling.NodeTerm
		for _, l := range t.Labels {
			term.Expressions = append(term.Expressions, scheduling.Requirement{Key: l.Key, Operator: "In", Values: l.Values})
		}
		if p, ok := nodeselector.NewTerm(&term, s); ok {
			x.terms = append(x.terms, p)
		}
	}
	return x
}

// selected are the nodes that a label selector selects; all when it is empty.
func selected(l *metav1.LabelSelector, s *scheduling.Snapshot) where {
	var term scheduling.NodeTerm
	for k, v := range l.MatchLabels {
		term.Expressions = append(term.Expressions, scheduling.Requirement{Key: k, Operator: "In", Values: []string{v}})
	}
	slices.SortFunc(term.Expressions, func(a, b scheduling.Requirement) int { return strings.Compare(a.Key, b.Key) })
	for _, q := range l.MatchExpressions {
		term.Expressions = append(term.Expressions, scheduling.Requirement{Key: q.Key, Operator: string(q.Operator), Values: q.Values})
	}
	if len(term.Expressions) == 0 {
		return where{anywhere: true}
	}
	t, ok := nodeselector.NewTerm(&term, s)
	if !ok {
		return where{}
	}
	return where{terms: []nodeselector.Term{t}}
}
