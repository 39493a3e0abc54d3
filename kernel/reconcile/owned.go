package reconcile

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin/present"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Owned is an index from an owner's uid to the objects that name it, and of
// the objects without a controlling owner; and indexes from the values at paths to the
// objects that have them. A resource is followed from the
// first question about it on, by each index of its own, until it leaves the catalog; when it comes back, from the
// next question on. It is safe for concurrent use.
type Owned struct {
	catalog *resource.Catalog
	follow  informer.Config

	mu        sync.Mutex
	ctx       context.Context // of Run; nil before
	resources map[indexed]*ownedResource
	group     sync.WaitGroup
}

// indexed is what an index is of: the owners of a resource's objects, or the values at
// a path.
type indexed struct {
	schema.GroupResource
	path string // "" of owners
}

// maxPaths bounds the indexes of paths: each names every object that has the path, and
// plugins choose them.
const maxPaths = 64

// NewOwned makes an index that follows resources while Run runs, as follow says:
// its target and handler are not used.
func NewOwned(catalog *resource.Catalog, follow informer.Config) *Owned {
	return &Owned{catalog: catalog, follow: follow, resources: map[indexed]*ownedResource{}}
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
	for of, r := range x.resources {
		if !r.follows(table.Lookup(of.GroupResource)) {
			delete(x.resources, of)
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
	path, err := pathOf(owner)
	if err != nil {
		return nil, err
	}
	for {
		d := x.catalog.Lookup(gr)
		if d == nil {
			return nil, nil // the kind has gone, and its objects with it
		}
		r, err := x.resource(d, path)
		if err != nil {
			return nil, err
		}
		err = r.waitFor(ctx, since)
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
//
// # Errors
//   - *wire.Error of kind TooMany
func (x *Owned) resource(d *resource.Definition, path valuePath) (*ownedResource, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	of := indexed{d.GroupResource(), path.text}
	r := x.resources[of]
	if r != nil && !r.follows(d) {
		delete(x.resources, of)
		r.end() // before Run has seen that
		r = nil
	}
	if r == nil {
		if path.text != "" && x.paths() >= maxPaths {
			return nil, wire.Errorf(wire.KindTooMany, "%s cannot be listed by %q: there are %d indexes already; list by one of them, or by a selector", of.GroupResource, path.text, maxPaths)
		}
		r = x.newResource(d, path)
		x.resources[of] = r
		x.start(r)
	}
	return r, nil
}

// paths is how many indexes of paths there are; x.mu is held.
func (x *Owned) paths() int {
	n := 0
	for of := range x.resources {
		if of.path != "" {
			n++
		}
	}
	return n
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

func (x *Owned) newResource(d *resource.Definition, path valuePath) *ownedResource {
	values := ownersOf
	if path.text != "" {
		values = path.of
	}
	r := &ownedResource{index: informer.NewIndex(values), of: d}
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
	switch o.Kind {
	case wire.NoController:
		return noController, true
	case wire.ValueAt:
		_, value := o.Index()
		return value, value != ""
	}
	return o.UID, o.UID != ""
}

// valuePath is the path of an index, as it is written and as it is followed; the zero
// value is that of none.
type valuePath struct {
	text  string
	steps []record.Segment
}

// pathOf is the path by which a list is narrowed.
func pathOf(o wire.Owner) (valuePath, error) {
	if o.Kind != wire.ValueAt {
		return valuePath{}, nil
	}
	text, _ := o.Index()
	steps, err := record.ParsePath(text)
	if err != nil {
		return valuePath{}, wire.Errorf(wire.KindBadRequest, "list by %q: %v", text, err)
	}
	return valuePath{text, steps}, nil
}

// of are the places of an object in the index of the path.
func (p valuePath) of(o *watch.Object) []string { return present.Texts(o.Obj, p.steps) }

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
