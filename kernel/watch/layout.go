package watch

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// layout is which resources the cache holds, and where the store's keys lead.
// It is never modified: a change of the catalog makes another one, so that it
// is read without a lock.
type layout struct {
	table     *resource.Table
	prefixes  map[string][]*state
	resources map[schema.GroupResource]*state
	states    []*state // all of them
}

// held tells that a definition's objects are in the cache under its own name.
func held(d *resource.Definition) bool {
	return !d.Virtual && d.KeyPrefix != "" && d.StoredAs == nil
}

// newLayout arranges the states of a table; stateOf finds or makes each.
func newLayout(t *resource.Table, stateOf func(*resource.Definition) *state) *layout {
	l := &layout{table: t, prefixes: map[string][]*state{}, resources: map[schema.GroupResource]*state{}}
	for _, d := range t.Definitions {
		if !held(d) {
			continue
		}
		s := stateOf(d)
		l.prefixes[s.prefix] = append(l.prefixes[s.prefix], s)
		l.resources[s.resource] = s
		l.states = append(l.states, s)
	}
	return l
}

// route finds the resources that a key belongs to, by the longest prefix, and
// the object's namespace and name. A key that does not have the form of the
// resource's keys belongs to none.
func (l *layout) route(key string) (states []*state, namespace, name string) {
	for end := strings.LastIndexByte(key, '/'); end > 0; end = strings.LastIndexByte(key[:end], '/') {
		if states = l.prefixes[key[:end]]; states == nil {
			continue
		}
		name = key[end+1:]
		if states[0].namespaced {
			var ok bool
			if namespace, name, ok = strings.Cut(name, "/"); !ok || namespace == "" {
				return nil, "", ""
			}
		}
		if name == "" || strings.Contains(name, "/") {
			return nil, "", ""
		}
		return states, namespace, name
	}
	return nil, "", ""
}

// state finds a resource in the catalog's newest table, nil if there is none.
func (c *Cache) state(gr schema.GroupResource) *state {
	l := c.layout.Load()
	if l.table != c.config.Catalog.Snapshot() {
		l = c.rearrange()
	}
	return l.resources[gr]
}

// rearrange follows the catalog. A resource that is new is read from the store
// when it is first asked for. One that is gone ends its watchers. One that has
// changed keeps its objects and watchers; its objects are read again if they
// are of other types, or of another version, than before.
func (c *Cache) rearrange() *layout {
	c.applying.Lock()
	defer c.applying.Unlock()
	old, t := c.layout.Load(), c.config.Catalog.Snapshot()
	if old.table.Generation >= t.Generation {
		return old
	}
	next := newLayout(t, func(d *resource.Definition) *state {
		s := old.resources[d.GroupResource()]
		if s == nil || s.prefix != d.KeyPrefix || s.namespaced != d.Namespaced {
			return newState(d, c.config.History, &c.rewinds)
		}
		if before := s.definition.Swap(d); !decodeAlike(before, d) {
			c.reread(s)
		}
		return s
	})
	c.layout.Store(next)
	for gr, s := range old.resources {
		if next.resources[gr] != s {
			s.remove()
			c.failures.forgetAll(gr)
		}
	}
	return next
}

// decodeAlike tells that stored values make the same objects by both
// definitions.
func decodeAlike(a, b *resource.Definition) bool {
	return a == b || a.Types == b.Types && a.Hub() == b.Hub()
}
