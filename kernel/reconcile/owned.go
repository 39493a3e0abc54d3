package reconcile

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/btree"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/client"
)

// Owned is an index from an owner's uid to the objects that name it, and of
// the objects without a controlling owner. A resource is followed from the
// first question about it on. It is safe for concurrent use.
type Owned struct {
	reg     registry.Registry
	catalog *resource.Catalog
	clock   clock.WithDelayedExecution

	mu        sync.Mutex
	ctx       context.Context // of Run; nil before
	resources map[schema.GroupResource]*ownedResource
	group     sync.WaitGroup
}

// NewOwned makes an index that follows resources while Run runs.
func NewOwned(reg registry.Registry, catalog *resource.Catalog, c clock.WithDelayedExecution) *Owned {
	return &Owned{reg: reg, catalog: catalog, clock: c, resources: map[schema.GroupResource]*ownedResource{}}
}

// Run follows what is asked for until ctx ends.
func (x *Owned) Run(ctx context.Context) error {
	x.mu.Lock()
	x.ctx = ctx
	for gr, r := range x.resources {
		x.follow(gr, r)
	}
	x.mu.Unlock()
	<-ctx.Done()
	x.mu.Lock() // nobody starts a follower after this
	defer x.mu.Unlock()
	x.group.Wait()
	return nil
}

// follow begins to follow a resource; x.mu is held.
func (x *Owned) follow(gr schema.GroupResource, r *ownedResource) {
	if x.ctx == nil || x.ctx.Err() != nil {
		return
	}
	d := x.catalog.Lookup(gr)
	r.follower = newFollower(x.reg, x.clock, gr.WithVersion(d.StorageVersion), r.apply, r.caught)
	x.group.Go(func() { r.follower.run(x.ctx) })
}

// List implements hostclient.Owned.
func (x *Owned) List(ctx context.Context, gr schema.GroupResource, namespace, uid string, since int64) ([]*watch.Object, error) {
	x.mu.Lock()
	r := x.resources[gr]
	if r == nil {
		r = newOwnedResource()
		x.resources[gr] = r
		x.follow(gr, r)
	}
	x.mu.Unlock()
	if err := x.wait(ctx, r, since); err != nil {
		return nil, err
	}
	prefix := ""
	if d := x.catalog.Lookup(gr); namespace != "" {
		prefix = resource.Prefix(d, namespace)
	}
	return r.list(prefix, uid), nil
}

// ownedResource is the index of one resource.
type ownedResource struct {
	follower *follower // set before it is synced

	mu     sync.Mutex
	byUID  roomy[string, *btree.BTreeG[*watch.Object]] // owner's uid, or client.NoController → objects by key
	owners roomy[string, []string]                     // key → where byUID has it, to find what an update removes
	rev    int64                                       // everything up to here is in
	synced bool
	moved  chan struct{} // closed and replaced when rev moves
}

func newOwnedResource() *ownedResource {
	return &ownedResource{moved: make(chan struct{})}
}

// patience is how long a list by owner waits for events before it asks for a
// new list of the resource.
const patience = 250 * time.Millisecond

// wait returns once the index holds everything up to a revision of the
// resource that the caller knows of.
func (x *Owned) wait(ctx context.Context, r *ownedResource, since int64) error {
	var late <-chan time.Time
	for {
		r.mu.Lock()
		done, synced, moved := r.synced && r.rev >= since, r.synced, r.moved
		r.mu.Unlock()
		if done {
			return nil
		}
		if late == nil && synced {
			t := x.clock.NewTimer(patience)
			defer t.Stop()
			late = t.C()
		}
		select {
		case <-moved:
		case <-late:
			r.follower.refresh()
			late = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *ownedResource) caught(rev int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.synced, r.rev = true, rev
	close(r.moved)
	r.moved = make(chan struct{})
}

func (r *ownedResource) list(prefix, uid string) []*watch.Object {
	r.mu.Lock()
	defer r.mu.Unlock()
	tree := r.byUID.m[uid]
	if tree == nil {
		return nil
	}
	out := make([]*watch.Object, 0, tree.Len())
	tree.AscendGreaterOrEqual(&watch.Object{Key: prefix}, func(o *watch.Object) bool {
		if !strings.HasPrefix(o.Key, prefix) {
			return false
		}
		out = append(out, o)
		return true
	})
	return out
}

func (r *ownedResource) apply(e watch.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := e.Object.Key
	var now []string
	if e.Type != watch.Deleted {
		now = ownersOf(e.Object)
	}
	for _, uid := range r.owners.m[key] {
		tree := r.byUID.m[uid]
		if tree.Delete(e.Object); tree.Len() == 0 {
			r.byUID.drop(uid)
		}
	}
	if len(now) == 0 {
		r.owners.drop(key)
		return
	}
	r.owners.set(key, now)
	for _, uid := range now {
		tree := r.byUID.m[uid]
		if tree == nil {
			tree = btree.NewG(16, func(a, b *watch.Object) bool { return a.Key < b.Key })
			r.byUID.set(uid, tree)
		}
		tree.ReplaceOrInsert(e.Object)
	}
}

// ownersOf are the places of an object in the index.
func ownersOf(o *watch.Object) []string {
	m, err := meta.Accessor(o.Obj)
	if err != nil {
		return nil
	}
	var out []string
	for _, ref := range m.GetOwnerReferences() {
		out = append(out, string(ref.UID))
	}
	if metav1.GetControllerOfNoCopy(m) == nil {
		out = append(out, client.NoController)
	}
	return out
}

func uidOf(o *watch.Object) string {
	m, err := meta.Accessor(o.Obj)
	if err != nil {
		return ""
	}
	return string(m.GetUID())
}
