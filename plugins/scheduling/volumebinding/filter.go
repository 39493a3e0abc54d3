package volumebinding

import (
	"slices"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// why is a set of reasons against a node, in upstream's order.
type why uint8

const (
	affinityConflict why = 1 << iota
	nothingToBind
	noSpace
	volumeMissing
	allReasons = 1<<iota - 1
)

var reasonTexts = []string{
	"node(s) didn't match PersistentVolume's node affinity",
	"node(s) didn't find available persistent volumes to bind",
	"node(s) did not have enough free storage",
	"node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
}

// statuses are those of all sets of reasons: one that is kept is recognized.
var statuses = func() (out [allReasons + 1]*scheduling.Status) {
	for set := why(1); set <= allReasons; set++ {
		var texts []string
		for i, text := range reasonTexts {
			if set&(1<<i) != 0 {
				texts = append(texts, text)
			}
		}
		out[set] = scheduling.UnschedulableAndUnresolvable(texts...)
	}
	return out
}()

// work is what is known of a pod's volumes before nodes are looked at.
type work struct {
	claims []*claim // all of them
	bound  []boundVolume
	wanted []wanted // by size
}

// boundVolume is the volume of a claim that is bound.
type boundVolume struct {
	missing bool // there is no such volume
	where   where
}

// wanted is a claim that the scheduler is to find a volume for.
type wanted struct {
	claim  *claim
	pinned *string // the node that was selected for it before; a volume is made there
	from   candidates
	room   room
}

// binding is a volume for a claim.
type binding struct {
	volume *volume
	claim  *claim
}

// prepare reads the pod's claims and what they need. A status says why the pod cannot
// be placed for now.
func prepare(list []scheduling.Claim, s *scheduling.Snapshot) (*work, *scheduling.Status) {
	h, st := claimsOf(list, s)
	if st != nil {
		return nil, st
	}
	w := &work{claims: append(slices.Clone(h.bound), h.delayed...)}
	for _, c := range h.bound {
		v := &volume{}
		err := s.Get(v, "", c.Spec.VolumeName)
		switch {
		case client.IsNotFound(err):
			w.bound = append(w.bound, boundVolume{missing: true})
		case err != nil:
			return nil, scheduling.Failed(err)
		default:
			w.bound = append(w.bound, boundVolume{where: whereOf(v, s)})
		}
	}
	if err := w.want(h, s); err != nil {
		return nil, scheduling.Failed(err)
	}
	return w, nil
}

// want prepares the claims that wait for a node.
func (w *work) want(h *held, s *scheduling.Snapshot) error {
	slices.SortStableFunc(h.delayed, func(a, b *claim) int { return a.size().Cmp(b.size()) })
	var all []*volume
	if slices.ContainsFunc(h.delayed, func(c *claim) bool { return c.Metadata.Annotations.SelectedNode == nil }) {
		if err := s.List(&all, client.ListOptions{}); err != nil {
			return err
		}
	}
	for _, c := range h.delayed {
		k := h.classes[c.class()]
		counted, pools, err := capacitiesOf(k, s)
		if err != nil {
			return err
		}
		x := wanted{claim: c, pinned: c.Metadata.Annotations.SelectedNode, room: roomOf(c, k, counted, pools, s)}
		if x.pinned == nil {
			x.from = candidatesOf(c, all, s)
		}
		w.wanted = append(w.wanted, x)
	}
	return nil
}

// capacitiesOf are the capacities that count for a class; counted is false when its
// driver does not tell any.
func capacitiesOf(k *class, s *scheduling.Snapshot) (counted bool, all []*capacity, err error) {
	if k == nil || !k.provisions() {
		return false, nil, nil
	}
	var d driver
	err = s.Get(&d, "", k.Provisioner)
	if client.IsNotFound(err) || err == nil && (d.Spec.StorageCapacity == nil || !*d.Spec.StorageCapacity) {
		return false, nil, nil
	}
	if err == nil {
		err = s.List(&all, client.ListOptions{})
	}
	return true, all, err
}

// place finds volumes for the claims that have none on one node, and the claims for
// which one is to be made there.
func (w *work) place(n scheduling.Node) (bindings []binding, make []*claim, reasons why) {
	var toMake []*wanted
	for i := range w.wanted {
		if x := &w.wanted[i]; x.pinned != nil {
			if *x.pinned != n.Name() {
				return nil, nil, nothingToBind
			}
			toMake = append(toMake, x)
		}
	}
	for i := range w.wanted {
		x := &w.wanted[i]
		if x.pinned != nil {
			continue
		}
		if v := x.from.on(n, bindings); v != nil {
			bindings = append(bindings, binding{v, x.claim})
		} else {
			toMake = append(toMake, x)
		}
	}
	for _, x := range toMake {
		switch r := &x.room; {
		case r.none || !r.nodes.on(n):
			return nil, nil, nothingToBind
		case r.scarce && r.index.first(n, func(i int) bool { return r.pools[i].on(n) }) < 0:
			return nil, nil, noSpace
		}
		make = append(make, x.claim)
	}
	return bindings, make, 0
}

func (t *plugin) filter(c *scheduling.Cycle) { t.work.filter(c) }

func (w *work) filter(c *scheduling.Cycle) {
	conflict, missing := w.boundOn(c)
	if len(w.wanted) == 0 {
		c.Reject(conflict, statuses[affinityConflict])
		c.Reject(missing, statuses[volumeMissing])
		return
	}
	var refused [allReasons + 1]vector.Mask
	for k := range c.Len() {
		if !c.Rows().Has(k) {
			continue
		}
		_, _, reasons := w.place(c.Node(k))
		if conflict.Has(k) {
			reasons |= affinityConflict
		}
		if missing.Has(k) {
			reasons |= volumeMissing
		}
		if reasons == 0 {
			continue
		}
		if refused[reasons] == nil {
			refused[reasons] = c.Mask()
		}
		refused[reasons].Set(k)
	}
	for reasons, rows := range refused {
		if rows != nil {
			c.Reject(rows, statuses[reasons])
		}
	}
}

// boundOn tells on which nodes the bound volumes cannot be used, and which nodes are
// out because one of them is not there. As upstream, the first claim of which either is
// so counts.
func (w *work) boundOn(c *scheduling.Cycle) (conflict, missing vector.Mask) {
	conflict, missing = c.Mask(), c.Mask()
	left, fits, one, scratch := c.Mask(), c.Mask(), c.Mask(), c.Mask()
	left.Fill(c.Len())
	for i := range w.bound {
		b := &w.bound[i]
		if b.missing {
			missing.Or(left)
			break
		}
		if b.where.anywhere {
			continue
		}
		fits.Zero()
		for k := range b.where.terms {
			b.where.terms[k].Match(c, one, scratch)
			fits.Or(one)
		}
		left.AndNot(fits)
		conflict.Or(left)
		left.Fill(c.Len())
		left.AndNot(conflict)
	}
	return conflict, missing
}
