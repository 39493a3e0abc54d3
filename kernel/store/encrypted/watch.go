package encrypted

import (
	"context"

	"github.com/pintle-io/pintle/kernel/store"
)

func (e *encrypted) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{Watcher: e.Store.Watch(ctx, prefix, after), batches: make(chan store.Batch)}
	go func() {
		defer cancel()
		w.run(ctx, e)
	}()
	return w
}

// watcher hands on the batches of another one, decrypted.
type watcher struct {
	store.Watcher
	batches chan store.Batch
}

func (w *watcher) Batches() <-chan store.Batch { return w.batches }

func (w *watcher) run(ctx context.Context, e *encrypted) {
	defer close(w.batches)
	p := &patience{}
	for b := range w.Watcher.Batches() {
		if len(b.Events) > 0 {
			b.Events = append([]store.Event(nil), b.Events...) // others may have them too
		}
		for i := range b.Events {
			if !b.Events[i].Delete {
				e.open(ctx, &b.Events[i].KV, p)
			}
		}
		select {
		case w.batches <- b:
		case <-ctx.Done():
			for range w.Watcher.Batches() { // until the store's goroutine has ended
			}
			return
		}
	}
}
