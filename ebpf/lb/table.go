package lb

import (
	"errors"
	"fmt"
	"sync"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// A Table is the services in the maps: frontends, slots, backends and lookup
// tables.
type Table struct {
	maps    *bpf.LBMaps
	sockets follower

	mu     sync.Mutex
	mirror mirror // guarded by mu
}

// follower is told what a change may mean for sockets that are connected.
type follower interface {
	backendsGone()
	served()
}

func newTable(maps *bpf.LBMaps, f follower) *Table {
	return &Table{maps: maps, sockets: f, mirror: newMirror()}
}

// empty reports whether the maps have no frontend.
func (t *Table) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mirror.owners) == 0
}

// Upsert makes s what it says. Only what differs is written.
//
// # Errors
//
// After an error the maps may hold part of the change, every service in them
// still served; call [Table.Reload] and [Table.Replace].
func (t *Table) Upsert(s Service) error {
	w, err := want(s)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.upsert(w)
}

func (t *Table) upsert(w wanted) error {
	g := t.groupFor(w)
	w.value.Service = g.id
	w.value.Count = uint16(len(w.backends))
	gone, err := t.writeSlots(g, w.backends)
	if err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if err := t.writeMaglev(g, w.maglev, len(gone) > 0 || w.value != g.value); err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if err := t.writeFrontends(g, w); err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if err := t.trim(g, int(w.value.Count), gone); err != nil {
		return fmt.Errorf("service %s: %w", w.key, err)
	}
	if w.value.Count > 0 {
		t.sockets.served()
	}
	return nil
}

// groupFor returns the group of this name; else one found in the maps that has
// one of the frontends, which a predecessor wrote for this service; else a new
// one.
func (t *Table) groupFor(w wanted) *group {
	m := &t.mirror
	if g := m.groups[w.key]; g != nil {
		return g
	}
	for _, k := range w.frontends {
		for _, g := range m.owners[k] {
			if g.recovered {
				delete(m.groups, g.key)
				g.key, g.recovered = w.key, false
				m.groups[w.key] = g
				return g
			}
		}
	}
	g := &group{key: w.key, id: m.take()}
	m.groups[w.key] = g
	return g
}

// Delete removes the service of this key, if there is one.
func (t *Table) Delete(key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.delete(key)
}

func (t *Table) delete(key string) error {
	g := t.mirror.groups[key]
	if g == nil {
		return nil
	}
	for _, k := range g.frontends {
		if err := t.release(g, k); err != nil {
			return fmt.Errorf("service %s: %w", key, err)
		}
	}
	gone := make([]uint32, len(g.slots))
	for i, s := range g.slots {
		gone[i] = s.id
	}
	if err := t.trim(g, 0, gone); err != nil {
		return fmt.Errorf("service %s: %w", key, err)
	}
	if err := ignoreMissing(t.maps.Maglev.Delete(g.id)); err != nil {
		return fmt.Errorf("service %s: %w", key, err)
	}
	delete(t.mirror.groups, key)
	return nil
}

// Replace makes all the only services there are, those that a predecessor left
// included. Only what differs is written.
func (t *Table) Replace(all []Service) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := make(map[string]bool, len(all))
	var errs []error
	for _, s := range all {
		keep[s.Key] = true
		w, err := want(s)
		if err == nil {
			err = t.upsert(w)
		}
		errs = append(errs, err)
	}
	for key := range t.mirror.groups {
		if !keep[key] {
			errs = append(errs, t.delete(key))
		}
	}
	return errors.Join(errs...)
}

// mirror is what the maps hold, so that a change is written without reading.
type mirror struct {
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

func newMirror() mirror {
	return mirror{groups: map[string]*group{}, owners: map[bpf.LBFrontendKey][]*group{}, nextID: 1}
}

// take returns an id that no service and no backend of this mirror's life has
// had. Ids are not used again, because affinities and flows remember them.
func (m *mirror) take() uint32 {
	id := m.nextID
	m.nextID++
	return id
}
