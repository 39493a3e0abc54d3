package watch

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch/progress"
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

// resources are those of the catalog, as far as the cache has them: it follows
// the catalog, and reads from the store what came later and is asked for.
type resources struct {
	catalog  *resource.Catalog
	history  int // Config.History
	reader   *reader
	progress *progress.Progress
	clock    clock.Clock
	log      *slog.Logger

	layout atomic.Pointer[layout]

	// applying is held while a batch of the store is applied, and while what
	// would not go together with that is changed: the layout, and the objects
	// of a resource that was read on demand. It comes before a state's lock.
	applying sync.Mutex
	epoch    int64 // of reloads: what was read in another one is void; guarded by applying

	life context.Context // ends with Run
	end  context.CancelFunc
}

// newResources begins with those of the catalog, which the cache's first load
// reads: they are served at once.
func newResources(c *Config, reader *reader, p *progress.Progress) *resources {
	r := &resources{catalog: c.Catalog, history: c.History, reader: reader, progress: p, clock: c.Clock, log: c.Log}
	r.life, r.end = context.WithCancel(context.Background())
	r.layout.Store(newLayout(c.Catalog.Snapshot(), func(d *resource.Definition) *state {
		s := newState(d, c.History, p)
		s.following = true
		s.serving.Store(true)
		return s
	}))
	return r
}

// close ends all watchers.
func (r *resources) close() {
	r.applying.Lock() // nobody rearranges meanwhile
	defer r.applying.Unlock()
	for _, s := range r.layout.Load().resources {
		s.close()
	}
}

// restart has what is being read on demand start over, and returns what is
// to be read.
func (r *resources) restart() *layout {
	r.applying.Lock()
	defer r.applying.Unlock()
	r.epoch++
	return r.layout.Load()
}

// state finds a resource in the catalog's newest table, nil if there is none.
func (r *resources) state(gr schema.GroupResource) *state {
	l := r.layout.Load()
	s := l.resources[gr]
	if t := r.catalog.Snapshot(); l.table != t {
		if s != nil && s.definition.Load() == t.Lookup(gr) {
			return s // what has changed are others
		}
		s = r.rearrange().resources[gr]
	}
	return s
}

// rearrange follows the catalog. A resource that is new is read from the store
// when it is first asked for. One that is gone ends its watchers. One that has
// changed keeps its objects and watchers; its objects are read again if they
// are of other types, or of another version, than before.
func (r *resources) rearrange() *layout {
	r.applying.Lock()
	defer r.applying.Unlock()
	old, t := r.layout.Load(), r.catalog.Snapshot()
	if old.table.Generation >= t.Generation {
		return old
	}
	next := newLayout(t, func(d *resource.Definition) *state {
		s := old.resources[d.GroupResource()]
		if s == nil || s.prefix != d.KeyPrefix || s.namespaced != d.Namespaced {
			return newState(d, r.history, r.progress)
		}
		if before := s.definition.Swap(d); !decodeAlike(before, d) {
			r.reread(s)
		}
		return s
	})
	r.layout.Store(next)
	for gr, s := range old.resources {
		if next.resources[gr] != s {
			s.remove()
			r.reader.decoder.failures.forgetAll(gr)
		}
	}
	return next
}

// decodeAlike tells that stored values make the same objects by both
// definitions.
func decodeAlike(a, b *resource.Definition) bool {
	return a == b || a.Types == b.Types && a.Hub() == b.Hub()
}
