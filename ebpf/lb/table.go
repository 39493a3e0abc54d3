package lb

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// table mirrors what the maps hold, so that a change is written without reading.
type table struct {
	groups map[string]*group
	// owners are the claims on each frontend, in order of arrival; the first
	// one is in the map. Two services may want one address for a moment, when
	// one takes over what the other gives up.
	owners map[bpf.LBFrontendKey][]*group
	nextID uint32
}

// group is one service in the maps.
type group struct {
	key       string
	id        uint32
	frontends []bpf.LBFrontendKey // claimed; sorted
	slots     []slot              // what slots 0.. hold
	value     bpf.LBFrontend      // what the owned frontends hold
	recovered bool                // found in the maps; its key is not known yet
}

// udp reports whether connected sockets may stay where a backend was. A group
// that claims no frontend any more may have been one.
func (g *group) udp() bool {
	return len(g.frontends) == 0 || Protocol(g.frontends[0].Proto) == UDP
}

type slot struct {
	id      uint32
	backend bpf.LBBackend
}

func newTable() table {
	return table{groups: map[string]*group{}, owners: map[bpf.LBFrontendKey][]*group{}, nextID: 1}
}

// take returns an id that no service and no backend of this table's life has
// had. Ids are not used again, because affinities and flows remember them.
func (t *table) take() uint32 {
	id := t.nextID
	t.nextID++
	return id
}

// wanted is a Service in the maps' terms.
type wanted struct {
	key       string
	frontends []bpf.LBFrontendKey
	backends  []bpf.LBBackend
	value     bpf.LBFrontend
	maglev    bool
}

func want(s Service) (wanted, error) {
	w := wanted{key: s.Key, value: s.frontendValue(0), maglev: s.Maglev}
	proto := Protocol(0)
	for _, f := range s.Frontends {
		k, err := f.key()
		if err != nil {
			return w, fmt.Errorf("service %s: %w", s.Key, err)
		}
		if proto != 0 && f.Proto != proto {
			return w, fmt.Errorf("service %s: frontends of %s and %s", s.Key, proto, f.Proto)
		}
		proto = f.Proto
		w.frontends = append(w.frontends, k)
	}
	slices.SortFunc(w.frontends, compareFrontends)
	w.frontends = slices.Compact(w.frontends)
	seen := make(map[bpf.LBBackend]bool, len(s.Backends))
	for _, b := range s.Backends {
		v, err := b.value(proto)
		if err != nil {
			return w, fmt.Errorf("service %s: %w", s.Key, err)
		}
		if !seen[v] {
			seen[v] = true
			w.backends = append(w.backends, v)
		}
	}
	if len(w.backends) > 0xffff {
		return w, fmt.Errorf("service %s: %d backends, at most 65535", s.Key, len(w.backends))
	}
	return w, nil
}

func compareFrontends(a, b bpf.LBFrontendKey) int {
	order := func(k bpf.LBFrontendKey) uint64 {
		return uint64(k.Addr)<<32 | uint64(k.Port)<<16 | uint64(k.Proto)<<8 | uint64(k.Scope)
	}
	switch x, y := order(a), order(b); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// Upsert makes s what it says. Only what differs is written.
//
// # Errors
//
// After an error the maps may hold part of the change, every service in them
// still served; call [Balancer.Reload] and [Balancer.Replace].
func (b *Balancer) Upsert(s Service) error {
	w, err := want(s)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.upsert(w)
}

func (b *Balancer) upsert(w wanted) error {
	g := b.groupFor(w)
	w.value.Service = g.id
	w.value.Count = uint16(len(w.backends))
	gone, err := b.writeSlots(g, w.backends)
	if err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if err := b.writeMaglev(g, w.maglev, len(gone) > 0 || w.value != g.value); err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if err := b.writeFrontends(g, w); err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if err := b.trim(g, int(w.value.Count), gone); err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if b.parked.Load() && w.value.Count > 0 {
		b.poke()
	}
	return nil
}

// groupFor returns the group of this name; else one found in the maps that has
// one of the frontends, which a predecessor wrote for this service; else a new
// one.
func (b *Balancer) groupFor(w wanted) *group {
	t := &b.table
	if g := t.groups[w.key]; g != nil {
		return g
	}
	for _, k := range w.frontends {
		for _, g := range t.owners[k] {
			if g.recovered {
				delete(t.groups, g.key)
				g.key, g.recovered = w.key, false
				t.groups[w.key] = g
				return g
			}
		}
	}
	g := &group{key: w.key, id: t.take()}
	t.groups[w.key] = g
	return g
}

// writeSlots puts backends that are new, and fills the first len(want) slots
// with the wanted ones, moving as few as possible. It returns the ids of those
// that may be deleted once no frontend counts them.
func (b *Balancer) writeSlots(g *group, want []bpf.LBBackend) (gone []uint32, err error) {
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
		s := slot{b.table.take(), v}
		if err := b.objects.Backends.Put(s.id, v); err != nil {
			return nil, fmt.Errorf("write backend: %w", err)
		}
		keep = append(keep, s)
	}
	for n, i := range free {
		next[i] = keep[n]
		if err := b.objects.Slots.Put(bpf.LBSlotKey{Service: g.id, Slot: uint32(i)}, keep[n].id); err != nil {
			return nil, fmt.Errorf("write slot: %w", err)
		}
	}
	g.slots = next
	return gone, nil
}

func (b *Balancer) writeMaglev(g *group, on, changed bool) error {
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
	if err := b.objects.LBMaps.Maglev.Put(g.id, maglev(names, ids)); err != nil {
		return fmt.Errorf("write lookup table: %w", err)
	}
	return nil
}

// writeFrontends claims new frontends, renews those whose value changed, and
// gives up the rest.
func (b *Balancer) writeFrontends(g *group, w wanted) error {
	changed := g.value != w.value
	old := g.frontends
	g.value, g.frontends = w.value, w.frontends
	for _, k := range w.frontends {
		_, had := slices.BinarySearchFunc(old, k, compareFrontends)
		if !had {
			b.table.owners[k] = append(b.table.owners[k], g)
		}
		if b.table.owners[k][0] != g || had && !changed {
			continue
		}
		if err := b.objects.Frontends.Put(k, g.value); err != nil {
			return fmt.Errorf("write frontend %s: %w", frontendOf(k).Addr, err)
		}
	}
	for _, k := range old {
		if _, keep := slices.BinarySearchFunc(w.frontends, k, compareFrontends); !keep {
			if err := b.release(g, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// release gives up g's claim on k; the next claimant gets it.
func (b *Balancer) release(g *group, k bpf.LBFrontendKey) error {
	claims := b.table.owners[k]
	i := slices.Index(claims, g)
	if i < 0 {
		return nil
	}
	claims = slices.Delete(claims, i, i+1)
	if len(claims) > 0 {
		b.table.owners[k] = claims
		if i > 0 {
			return nil
		}
		if err := b.objects.Frontends.Put(k, claims[0].value); err != nil {
			return fmt.Errorf("write frontend %s: %w", frontendOf(k).Addr, err)
		}
		return nil
	}
	delete(b.table.owners, k)
	return ignoreMissing(b.objects.Frontends.Delete(k))
}

// trim deletes slots beyond count, which no frontend counts any more, and
// backends in no slot.
func (b *Balancer) trim(g *group, count int, gone []uint32) error {
	for i := count; i < len(g.slots); i++ {
		if err := ignoreMissing(b.objects.Slots.Delete(bpf.LBSlotKey{Service: g.id, Slot: uint32(i)})); err != nil {
			return fmt.Errorf("delete slot: %w", err)
		}
	}
	g.slots = slices.Clip(g.slots[:count])
	for _, id := range gone {
		if err := ignoreMissing(b.objects.Backends.Delete(id)); err != nil {
			return fmt.Errorf("delete backend: %w", err)
		}
	}
	if len(gone) > 0 && g.udp() {
		b.poke()
	}
	return nil
}

// Delete removes the service of this key, if there is one.
func (b *Balancer) Delete(key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.delete(key)
}

func (b *Balancer) delete(key string) error {
	g := b.table.groups[key]
	if g == nil {
		return nil
	}
	for _, k := range g.frontends {
		if err := b.release(g, k); err != nil {
			return fmt.Errorf("service %s: %w", key, err)
		}
	}
	gone := make([]uint32, len(g.slots))
	for i, s := range g.slots {
		gone[i] = s.id
	}
	if err := b.trim(g, 0, gone); err != nil {
		return fmt.Errorf("service %s: %w", key, err)
	}
	if err := ignoreMissing(b.objects.LBMaps.Maglev.Delete(g.id)); err != nil {
		return fmt.Errorf("service %s: %w", key, err)
	}
	delete(b.table.groups, key)
	return nil
}

// Replace makes all the only services there are, those that a predecessor left
// included. Only what differs is written.
func (b *Balancer) Replace(all []Service) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	keep := make(map[string]bool, len(all))
	var errs []error
	for _, s := range all {
		keep[s.Key] = true
		w, err := want(s)
		if err == nil {
			err = b.upsert(w)
		}
		errs = append(errs, err)
	}
	for key := range b.table.groups {
		if !keep[key] {
			errs = append(errs, b.delete(key))
		}
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}
