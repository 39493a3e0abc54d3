package lb

import (
	"fmt"
	"slices"
	"time"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Reload forgets what this process believes and reads the maps. Whatever a
// crash left half written is swept.
func (t *Table) Reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	backends, err := t.readBackends()
	if err != nil {
		return err
	}
	slots, err := t.readSlots()
	if err != nil {
		return err
	}
	m := newMirror()
	if err := t.readFrontends(&m); err != nil {
		return err
	}
	for id := range backends {
		m.nextID = max(m.nextID, id+1)
	}
	for k := range slots {
		m.nextID = max(m.nextID, k.Service+1)
	}
	used := map[uint32]bool{}
	for _, g := range m.groups {
		for i := range uint32(g.value.Count) {
			k := bpf.LBSlotKey{Service: g.id, Slot: i}
			id := slots[k]
			v, ok := backends[id]
			if !ok {
				// Counted but not there: an id that is in no map keeps the
				// place until Replace fills it.
				id = m.take()
			}
			used[id] = true
			delete(slots, k)
			g.slots = append(g.slots, slot{id, v})
		}
	}
	t.mirror = m
	return t.sweep(slots, backends, used)
}

func (t *Table) readBackends() (map[uint32]bpf.LBBackend, error) {
	out := map[uint32]bpf.LBBackend{}
	var (
		k uint32
		v bpf.LBBackend
	)
	it := t.maps.Backends.Iterate()
	for it.Next(&k, &v) {
		out[k] = v
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read backends: %w", err)
	}
	return out, nil
}

func (t *Table) readSlots() (map[bpf.LBSlotKey]uint32, error) {
	out := map[bpf.LBSlotKey]uint32{}
	var (
		k bpf.LBSlotKey
		v uint32
	)
	it := t.maps.Slots.Iterate()
	for it.Next(&k, &v) {
		out[k] = v
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read slots: %w", err)
	}
	return out, nil
}

func (t *Table) readFrontends(m *mirror) error {
	byID := map[uint32]*group{}
	var (
		k bpf.LBFrontendKey
		v bpf.LBFrontend
	)
	it := t.maps.Frontends.Iterate()
	for it.Next(&k, &v) {
		g := byID[v.Service]
		if g == nil {
			g = &group{key: fmt.Sprintf("\x00%d", v.Service), id: v.Service, value: v, recovered: true}
			byID[v.Service] = g
			m.groups[g.key] = g
			m.nextID = max(m.nextID, v.Service+1)
		}
		if v != g.value {
			// Cut off between two frontends: no value is right, so that Upsert
			// writes them all; the lower count has all its slots.
			g.value.Count = min(g.value.Count, v.Count)
			g.value.Flags = ^uint16(0)
		}
		g.frontends = append(g.frontends, k)
		m.owners[k] = []*group{g}
	}
	for _, g := range m.groups {
		slices.SortFunc(g.frontends, compareFrontends)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read frontends: %w", err)
	}
	return nil
}

// sweep deletes slots and backends that no frontend leads to.
func (t *Table) sweep(slots map[bpf.LBSlotKey]uint32, backends map[uint32]bpf.LBBackend, used map[uint32]bool) error {
	for k := range slots {
		if err := ignoreMissing(t.maps.Slots.Delete(k)); err != nil {
			return fmt.Errorf("delete slot: %w", err)
		}
	}
	for id := range backends {
		if used[id] {
			continue
		}
		if err := ignoreMissing(t.maps.Backends.Delete(id)); err != nil {
			return fmt.Errorf("delete backend: %w", err)
		}
		t.sockets.backendsGone()
	}
	return nil
}

// Services returns what the kernel's maps say, read anew; in no order, and
// with made-up keys.
func (t *Table) Services() ([]Service, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	backends, err := t.readBackends()
	if err != nil {
		return nil, err
	}
	slots, err := t.readSlots()
	if err != nil {
		return nil, err
	}
	m := newMirror()
	if err := t.readFrontends(&m); err != nil {
		return nil, err
	}
	var out []Service
	for _, g := range m.groups {
		s := Service{
			Key:      g.key[1:],
			Affinity: time.Duration(g.value.AffinitySeconds) * time.Second,
			Maglev:   g.value.Flags&uint16(bpf.LBFrontendFlagFRONTEND_MAGLEV) != 0,
			Foreign:  g.value.Flags&uint16(bpf.LBFrontendFlagFRONTEND_FOREIGN) != 0,
		}
		for _, k := range g.frontends {
			s.Frontends = append(s.Frontends, frontendOf(k))
		}
		for i := range uint32(g.value.Count) {
			s.Backends = append(s.Backends, backendOf(backends[slots[bpf.LBSlotKey{Service: g.id, Slot: i}]]))
		}
		out = append(out, s)
	}
	return out, nil
}
