package selection

import (
	"container/list"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/watch"
)

// Pages are the snapshots that continue tokens given out refer to. They are
// bounded in number, age and memory; a token that outlives its snapshot is
// answered from the store's history as long as that goes back far enough. They are safe for concurrent use.
type Pages struct {
	clock clock.PassiveClock

	mu    sync.Mutex
	byKey map[pageKey]*list.Element // guarded by mu
	order *list.List                // of *page, least recently used first; guarded by mu
}

// maxPages, maxPageBytes and pageAge bound the snapshots kept for continue tokens:
// their number, what they keep in memory that is no longer current, and how long
// they wait to be asked for.
const (
	maxPages     = 128
	maxPageBytes = 64 << 20
	pageAge      = 5 * time.Minute
)

type pageKey struct {
	resource schema.GroupResource
	revision int64
}

type page struct {
	key      pageKey
	snapshot watch.Snapshot
	// since is when the first token of the snapshot was given out. Using it
	// does not make it younger: a token ends some time after its list began,
	// as upstream's does by compaction, and clients that ask again and again
	// must come to know.
	since time.Time
}

// NewPages makes Pages that keep nothing yet.
func NewPages(c clock.PassiveClock) *Pages {
	return &Pages{clock: c, byKey: make(map[pageKey]*list.Element), order: list.New()}
}

// Keep remembers a snapshot for a token.
func (p *Pages) Keep(resource schema.GroupResource, s watch.Snapshot) {
	key := pageKey{resource, s.Revision()}
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.clock.Now()
	if e := p.byKey[key]; e != nil {
		if old := e.Value.(*page); !old.void(since) {
			since = old.since
		}
		p.drop(e)
	}
	p.byKey[key] = p.order.PushBack(&page{key, s, since})
	p.bound()
}

// Get finds the snapshot of a token.
func (p *Pages) Get(resource schema.GroupResource, revision int64) (watch.Snapshot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byKey[pageKey{resource, revision}]
	if e == nil || e.Value.(*page).void(p.clock.Now()) {
		p.drop(e)
		return watch.Snapshot{}, false
	}
	return e.Value.(*page).snapshot, true
}

// Trim forgets what is past its use.
func (p *Pages) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bound()
}

// void tells that a page must not, or need not, be answered from.
func (p *page) void(now time.Time) bool {
	return p.snapshot.Rewound() || now.Sub(p.since) > pageAge
}

// bound drops the pages that are void, then the least recently used until there
// are few enough, then those that keep most until they keep little enough. Callers hold mu.
func (p *Pages) bound() {
	now := p.clock.Now()
	for e := p.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*page).void(now) {
			p.drop(e)
		}
		e = next
	}
	for p.order.Len() > maxPages {
		p.drop(p.order.Front())
	}
	for total, heaviest := p.weigh(); total > maxPageBytes; total, heaviest = p.weigh() {
		p.drop(heaviest)
	}
}

// weigh returns about how many bytes the pages keep in memory, and the one that
// keeps most. Of a resource, the oldest page keeps what any other does. Callers
// hold mu.
func (p *Pages) weigh() (total int, heaviest *list.Element) {
	most, top := map[schema.GroupResource]int{}, 0
	for e := p.order.Front(); e != nil; e = e.Next() {
		x := e.Value.(*page)
		n := x.snapshot.Superseded()
		if n > most[x.key.resource] {
			most[x.key.resource] = n
		}
		if n > top {
			top, heaviest = n, e
		}
	}
	for _, n := range most {
		total += n
	}
	return total, heaviest
}

// drop forgets a page, if there is one. Callers hold mu.
func (p *Pages) drop(e *list.Element) {
	if e != nil {
		delete(p.byKey, e.Value.(*page).key)
		p.order.Remove(e)
	}
}
