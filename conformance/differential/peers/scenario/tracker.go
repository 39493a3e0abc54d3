package scenario

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// Tracker counts objects of one kind by what a watch tells: how many there
// are, and how many of them are as wished.
type Tracker struct {
	informer cache.SharedInformer
	wished   func(any) bool

	mu      sync.Mutex
	is      map[string]bool // by key: whether it is as wished; guarded by mu
	matched int             // guarded by mu
	changed chan struct{}   // closed at the next change; guarded by mu
}

// track begins to count and returns when it knows what there is. It ends with
// ctx. wished must not change its object.
func track(ctx context.Context, client cache.Getter, resource, namespace string, kind runtime.Object, wished func(any) bool) (*Tracker, error) {
	t := &Tracker{wished: wished, is: map[string]bool{}, changed: make(chan struct{})}
	t.informer = cache.NewSharedInformer(cache.NewListWatchFromClient(client, resource, namespace, fields.Everything()), kind, 0)
	h, err := t.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { t.set(o, true) },
		UpdateFunc: func(_, o any) { t.set(o, true) },
		DeleteFunc: func(o any) { t.set(o, false) },
	})
	if err != nil {
		return nil, err
	}
	go t.informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), h.HasSynced) {
		return nil, fmt.Errorf("follow %s: %w", resource, context.Cause(ctx))
	}
	return t, nil
}

func (t *Tracker) set(o any, exists bool) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
	if err != nil {
		return // it has no metadata: no object that was asked for
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.is[key] {
		t.matched--
	}
	delete(t.is, key)
	if exists {
		is := t.wished(o)
		t.is[key] = is
		if is {
			t.matched++
		}
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// Counts are how many objects there are and how many of them are as wished.
func (t *Tracker) Counts() (all, wished int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.is), t.matched
}

// until waits until enough says yes to the counts.
func (t *Tracker) until(ctx context.Context, enough func(all, wished int) bool) error {
	for {
		t.mu.Lock()
		all, wished, changed := len(t.is), t.matched, t.changed
		t.mu.Unlock()
		if enough(all, wished) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d objects, %d of them as wished: %w", all, wished, context.Cause(ctx))
		}
	}
}
