package lb

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// writeSlots puts backends that are new, and fills the first len(want) slots
// with the wanted ones, moving as few as possible. It returns the ids of those
// that may be deleted once no frontend counts them.
func (t *Table) writeSlots(g *group, want []bpf.LBBackend) (gone []uint32, err error) {
	missing := make(map[bpf.LBBackend]bool, len(want))
	for _, v := range want {
		missing[v] = true
	}
	var free []int // slots whose backend goes, or that are beyond the end
	var keep []slot
	next := make([]slot, max(len(want), len(g.slots)))
	copy(next, g.slots)
	for i, s := range g.slots {
		switch {
		case !missing[s.backend]:
			gone = append(gone, s.id)
			if i < len(want) {
				free = append(free, i)
			}
		case i >= len(want):
			delete(missing, s.backend)
			keep = append(keep, s)
		default:
			delete(missing, s.backend)
		}
	}
	for i := len(g.slots); i < len(want); i++ {
		free = append(free, i)
	}
	for _, v := range want {
		if !missing[v] {
			continue
		}
		s := slot{t.mirror.take(), v}
		if err := t.maps.Backends.Put(s.id, v); err != nil {
			return nil, fmt.Errorf("write backend: %w", err)
		}
		keep = append(keep, s)
	}
	for n, i := range free {
		next[i] = keep[n]
		if err := t.maps.Slots.Put(bpf.LBSlotKey{Service: g.id, Slot: uint32(i)}, keep[n].id); err != nil {
			return nil, fmt.Errorf("write slot: %w", err)
		}
	}
	g.slots = next
	return gone, nil
}

func (t *Table) writeMaglev(g *group, on, changed bool) error {
	if !on || !changed {
		return nil
	}
	n := len(g.slots)
	names, ids := make([]string, n), make([]uint32, n)
	order := slices.Clone(g.slots)
	slices.SortFunc(order, func(x, y slot) int { return backendOf(x.backend).Addr.Compare(backendOf(y.backend).Addr) })
	for i, s := range order {
		names[i], ids[i] = backendOf(s.backend).Addr.String(), s.id
	}
	if err := t.maps.Maglev.Put(g.id, maglev(names, ids)); err != nil {
		return fmt.Errorf("write lookup table: %w", err)
	}
	return nil
}

// writeFrontends claims new frontends, renews those whose value changed, and
// gives up the rest.
func (t *Table) writeFrontends(g *group, w wanted) error {
	changed := g.value != w.value
	old := g.frontends
	g.value, g.frontends = w.value, w.frontends
	for _, k := range w.frontends {
		_, had := slices.BinarySearchFunc(old, k, compareFrontends)
		if !had {
			t.mirror.owners[k] = append(t.mirror.owners[k], g)
		}
		if t.mirror.owners[k][0] != g || had && !changed {
			continue
		}
		if err := t.maps.Frontends.Put(k, g.value); err != nil {
			return fmt.Errorf("write frontend %s: %w", frontendOf(k).Addr, err)
		}
	}
	for _, k := range old {
		if _, keep := slices.BinarySearchFunc(w.frontends, k, compareFrontends); !keep {
			if err := t.release(g, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// release gives up g's claim on k; the next claimant gets it.
func (t *Table) release(g *group, k bpf.LBFrontendKey) error {
	claims := t.mirror.owners[k]
	i := slices.Index(claims, g)
	if i < 0 {
		return nil
	}
	claims = slices.Delete(claims, i, i+1)
	if len(claims) > 0 {
		t.mirror.owners[k] = claims
		if i > 0 {
			return nil
		}
		if err := t.maps.Frontends.Put(k, claims[0].value); err != nil {
			return fmt.Errorf("write frontend %s: %w", frontendOf(k).Addr, err)
		}
		return nil
	}
	delete(t.mirror.owners, k)
	return ignoreMissing(t.maps.Frontends.Delete(k))
}

// trim deletes slots beyond count, which no frontend counts any more, and
// backends in no slot.
func (t *Table) trim(g *group, count int, gone []uint32) error {
	for i := count; i < len(g.slots); i++ {
		if err := ignoreMissing(t.maps.Slots.Delete(bpf.LBSlotKey{Service: g.id, Slot: uint32(i)})); err != nil {
			return fmt.Errorf("delete slot: %w", err)
		}
	}
	g.slots = slices.Clip(g.slots[:count])
	for _, id := range gone {
		if err := ignoreMissing(t.maps.Backends.Delete(id)); err != nil {
			return fmt.Errorf("delete backend: %w", err)
		}
	}
	if len(gone) > 0 && g.udp() {
		t.sockets.backendsGone()
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}
