package registry

import (
	"container/list"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/watch"
)

// pages are the snapshots that continue tokens given out refer to. They are
// bounded in number and age; a token that outlives its snapshot is answered
// from the store's history as long as that goes back far enough.
type pages struct {
	clock clock.PassiveClock

	mu    sync.Mutex
	byKey map[pageKey]*list.Element // guarded by mu
	order *list.List                // of *page, least recently used first; guarded by mu
}

type pageKey struct {
	resource schema.GroupResource
	revision int64
}

type page struct {
	key      pageKey
	snapshot watch.Snapshot
	used     time.Time
}

func newPages(c clock.PassiveClock) *pages {
	return &pages{clock: c, byKey: make(map[pageKey]*list.Element), order: list.New()}
}

// keep remembers a snapshot for a token.
func (p *pages) keep(resource schema.GroupResource, s watch.Snapshot) {
	key := pageKey{resource, s.Revision()}
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.byKey[key]; e != nil {
		e.Value.(*page).used = now
		p.order.MoveToBack(e)
	} else {
		p.byKey[key] = p.order.PushBack(&page{key, s, now})
	}
	for e := p.order.Front(); e != nil; e = p.order.Front() {
		old := e.Value.(*page)
		if p.order.Len() <= maxPages && now.Sub(old.used) <= pageAge {
			return
		}
		delete(p.byKey, old.key)
		p.order.Remove(e)
	}
}

// get finds the snapshot of a token.
func (p *pages) get(resource schema.GroupResource, revision int64) (watch.Snapshot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byKey[pageKey{resource, revision}]
	if e == nil || p.clock.Since(e.Value.(*page).used) > pageAge {
		return watch.Snapshot{}, false
	}
	return e.Value.(*page).snapshot, true
}
