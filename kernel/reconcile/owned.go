package reconcile

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Owned is an index from an owner's uid to the objects that name it, and of
// the objects without a controlling owner. A resource is followed from the
// first question about it on, until it leaves the catalog; when it comes back, from the
// next question on. It is safe for concurrent use.
type Owned struct {
	catalog *resource.Catalog
	follow  informer.Config

	mu        sync.Mutex
	ctx       context.Context // of Run; nil before
	resources map[schema.GroupResource]*ownedResource
	group     sync.WaitGroup
}

// NewOwned makes an index that follows resources while Run runs, as follow says:
// its target and handler are not used.
func NewOwned(catalog *resource.Catalog, follow informer.Config) *Owned {
	return &Owned{catalog: catalog, follow: follow, resources: map[schema.GroupResource]*ownedResource{}}
}

// Run follows what is asked for until ctx ends.
func (x *Owned) Run(ctx context.Context) error {
	x.mu.Lock()
	x.ctx = ctx
	for _, r := range x.resources {
		x.start(r)
	}
	x.mu.Unlock()
	for ctx.Err() == nil {
		table := x.catalog.Snapshot()
		x.sweep(table)
		select {
		case <-table.Superseded():
		case <-ctx.Done():
		}
	}
	x.mu.Lock() // nobody starts a follower after this
	defer x.mu.Unlock()
	for _, r := range x.resources {
		r.end()
	}
	x.group.Wait()
	return nil
}

// sweep ends what follows a resource that is not in the catalog any more, or is another
// one of the same name.
func (x *Owned) sweep(table *resource.Table) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for gr, r := range x.resources {
		if !r.follows(table.Lookup(gr)) {
			delete(x.resources, gr)
			r.end()
		}
	}
}

// start begins to follow a resource; x.mu is held.
func (x *Owned) start(r *ownedResource) {
	if x.ctx != nil && x.ctx.Err() == nil {
		x.group.Go(func() { r.informer.Run(r.life) })
	}
}

// List implements hostclient.Owned.
func (x *Owned) List(ctx context.Context, gr schema.GroupResource, namespace string, owner wire.Owner, since int64) ([]*watch.Object, error) {
	at, ok := place(owner)
	if !ok {
		return nil, nil
	}
	for {
		d := x.catalog.Lookup(gr)
		if d == nil {
			return nil, nil // the kind has gone, and its objects with it
		}
		r := x.resource(d)
		err := r.waitFor(ctx, since)
		if r.life.Err() != nil && ctx.Err() == nil && x.running() {
			continue // it went, and may be back
		}
		if err != nil {
			return nil, err
		}
		prefix := ""
		if namespace != "" {
			prefix = resource.Prefix(d, namespace)
		}
		return r.index.List(at, prefix), nil
	}
}

// running tells that what is asked for is followed, or will be.
func (x *Owned) running() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ctx == nil || x.ctx.Err() == nil
}

// resource is what follows a definition's objects.
func (x *Owned) resource(d *resource.Definition) *ownedResource {
	x.mu.Lock()
	defer x.mu.Unlock()
	gr := d.GroupResource()
	r := x.resources[gr]
	if r != nil && !r.follows(d) {
		r.end() // before Run has seen that
		r = nil
	}
	if r == nil {
		r = x.newResource(d)
		x.resources[gr] = r
		x.start(r)
	}
	return r
}

// ownedResource is the index of one resource.
type ownedResource struct {
	index    *informer.Index // by place
	informer *informer.Informer
	of       *resource.Definition // that it began with
	life     context.Context      // ends when it has left the catalog, and with Run
	end      context.CancelFunc
}

// follows tells that the objects of a definition, nil if there is none, are those that
// it has. A definition that changes keeps its objects.
func (r *ownedResource) follows(d *resource.Definition) bool {
	return d == r.of || d != nil && d.KeyPrefix == r.of.KeyPrefix && d.Namespaced == r.of.Namespaced && d.StorageVersion == r.of.StorageVersion
}

// waitFor is the informer's, until its life ends.
func (r *ownedResource) waitFor(ctx context.Context, since int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
	return r.informer.WaitFor(ctx, since)
}

func (x *Owned) newResource(d *resource.Definition) *ownedResource {
	r := &ownedResource{index: informer.NewIndex(ownersOf), of: d}
	r.life, r.end = context.WithCancel(context.Background())
	c := x.follow
	c.Name, c.Target = "owners", registry.Target{Resource: d.GroupResource().WithVersion(d.StorageVersion)}
	c.Handler = informer.NewDiffer(r.index.Apply)
	r.informer = informer.New(c)
	return r
}

// noController is the place of what no owner controls; no owner's uid is empty.
const noController = ""

// place is where the dependents of an owner are in the index; it has none if ok
// is false.
func place(o wire.Owner) (at string, ok bool) {
	if o.Kind == wire.NoController {
		return noController, true
	}
	return o.UID, o.UID != ""
}

// ownersOf are the places of an object in the index.
func ownersOf(o *watch.Object) []string {
	m, err := meta.Accessor(o.Obj)
	if err != nil {
		return nil
	}
	var out []string
	for _, ref := range m.GetOwnerReferences() {
		if at, ok := place(wire.Owner{Kind: wire.OwnerUID, UID: string(ref.UID)}); ok {
			out = append(out, at)
		}
	}
	if metav1.GetControllerOfNoCopy(m) == nil {
		out = append(out, noController)
	}
	return out
}
