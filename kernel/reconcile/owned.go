package reconcile

import (
	"context"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Owned is an index from an owner's uid to the objects that name it. A
// resource is followed from the first question about it on. It is safe for
// concurrent use.
type Owned struct {
	ctx context.Context // ends the followers
	reg registry.Registry

	mu        sync.Mutex
	resources map[schema.GroupVersionResource]*ownedResource
}

type ownedResource struct {
	synced chan struct{}

	mu     sync.Mutex
	byUID  map[string]map[string]*watch.Object // owner uid → key → object
	onlyOf map[string][]string                 // key → owner uids, to find what an update removes
}

// NewOwned makes an index whose followers run until ctx ends.
func NewOwned(ctx context.Context, reg registry.Registry) *Owned {
	return &Owned{ctx: ctx, reg: reg, resources: map[schema.GroupVersionResource]*ownedResource{}}
}

// List implements hostclient.Owned.
func (x *Owned) List(ctx context.Context, gvr schema.GroupVersionResource, namespace, uid string) ([]*watch.Object, error) {
	x.mu.Lock()
	r := x.resources[gvr]
	if r == nil {
		r = &ownedResource{synced: make(chan struct{}), byUID: map[string]map[string]*watch.Object{}, onlyOf: map[string][]string{}}
		x.resources[gvr] = r
		go follow(x.ctx, x.reg, gvr, r.apply, func() { close(r.synced) })
	}
	x.mu.Unlock()
	select {
	case <-r.synced:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return r.list(namespace, uid), nil
}

func (r *ownedResource) list(namespace, uid string) []*watch.Object {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*watch.Object
	for _, o := range r.byUID[uid] {
		if namespace == "" || o.Namespace == namespace {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *watch.Object) int { return strings.Compare(a.Key, b.Key) })
	return out
}

func (r *ownedResource) apply(e watch.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, uid := range r.onlyOf[e.Object.Key] {
		delete(r.byUID[uid], e.Object.Key)
		if len(r.byUID[uid]) == 0 {
			delete(r.byUID, uid)
		}
	}
	delete(r.onlyOf, e.Object.Key)
	if e.Type == watch.Deleted {
		return
	}
	m, err := meta.Accessor(e.Object.Obj)
	if err != nil {
		return
	}
	for _, ref := range m.GetOwnerReferences() {
		uid := string(ref.UID)
		if r.byUID[uid] == nil {
			r.byUID[uid] = map[string]*watch.Object{}
		}
		r.byUID[uid][e.Object.Key] = e.Object
		r.onlyOf[e.Object.Key] = append(r.onlyOf[e.Object.Key], uid)
	}
}
