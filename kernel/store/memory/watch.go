package memory

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/pintle-io/pintle/kernel/store"
)

func (m *memory) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	w := &watcher{store: m, prefix: prefix, after: after, seen: after, batches: make(chan store.Batch)}
	go w.run(ctx)
	return w
}

// watcher reads the store's log at its own pace.
type watcher struct {
	store   *memory
	prefix  string
	after   int64 // every batch up to here has been looked at
	seen    int64 // the revision of the last batch sent
	batches chan store.Batch
	err     error // written before batches is closed
}

func (w *watcher) Batches() <-chan store.Batch { return w.batches }
func (w *watcher) Err() error                  { return w.err }

func (w *watcher) run(ctx context.Context) {
	defer close(w.batches)
	for {
		news, changed, err := w.store.since(w.after)
		if err != nil {
			w.err = fmt.Errorf("watch after %d: %w", w.after, err)
			return
		}
		for _, b := range news {
			w.after = b.Revision
			if b.Events = w.mine(b.Events); len(b.Events) > 0 && !w.send(ctx, b) {
				return
			}
		}
		if len(news) > 0 && w.seen < w.after && !w.send(ctx, store.Batch{Revision: w.after}) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) send(ctx context.Context, b store.Batch) bool {
	select {
	case w.batches <- b:
		w.seen = b.Revision
		return true
	case <-ctx.Done():
		return false
	}
}

// mine selects the events below the prefix.
func (w *watcher) mine(events []store.Event) []store.Event {
	if w.prefix == "" {
		return events
	}
	var out []store.Event
	for _, e := range events {
		if strings.HasPrefix(e.KV.Key, w.prefix) {
			out = append(out, e)
		}
	}
	return out
}

// since returns the batches after a revision and a channel that closes when
// there are more. The batches are shared and must not be modified.
func (m *memory) since(after int64) ([]store.Batch, <-chan struct{}, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	switch {
	case m.closed:
		return nil, nil, errClosed
	case after < m.compacted:
		return nil, nil, store.ErrCompacted
	}
	// Full slice expression: a later append must not be seen through it.
	return m.log[m.logIndex(after):len(m.log):len(m.log)], m.changed, nil
}

// logIndex is the position of the first batch after rev. Callers hold mu.
func (m *memory) logIndex(rev int64) int {
	return sort.Search(len(m.log), func(i int) bool { return m.log[i].Revision > rev })
}
