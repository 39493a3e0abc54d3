package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin/present"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/wire"
)

// overAll are the watches of a manifest that are of all resources.
func (r *runner) overAll(list []wire.Watch) []numbered {
	var out []numbered
	for i, w := range list {
		if w.Resource != wire.AllResources {
			continue
		}
		if err := r.host.MayWatch(registry.Target{Resource: hostclient.Everything}); err != nil {
			r.log.Warn("controller watches what it may not", "resource", w.Resource, "error", err)
			continue
		}
		n := numbered{Watch: w, index: i}
		// What discovery tells is decided for a whole resource.
		var paths []string
		for _, p := range w.Present {
			if p == hostclient.Namespaced || p == hostclient.Collected {
				n.where = append(n.where, p)
			} else {
				paths = append(paths, p)
			}
		}
		var err error
		if n.present, err = present.Parse(paths); err != nil {
			r.log.Warn("controller watches a field that cannot be", "resource", w.Resource, "error", err)
			continue
		}
		if n.fields, err = fieldsOf(w); err != nil {
			r.log.Warn("controller watches fields that cannot be", "resource", w.Resource, "error", err)
			continue
		}
		out = append(out, n)
	}
	return out
}

// A topic is a resource that a controller follows: in the version that a watch
// names, or for watches of all resources in whichever is preferred.
type topic struct {
	resource schema.GroupResource
	version  string // "" for watches of all resources
}

// subject is what a topic stands for while the catalog is as it is.
type subject struct {
	resource   schema.GroupVersionResource
	definition *resource.Definition
	watches    []numbered
}

// alike reports whether the same watches lead to the same requests, so that what
// was told once need not be told again.
func (s subject) alike(o subject) bool {
	return slices.EqualFunc(s.watches, o.watches, func(a, b numbered) bool {
		return a.index == b.index && a.ownerless == b.ownerless
	})
}

// subjects are what there is to follow by a catalog: of the named resources
// those that it has, and of all those that a watch of all takes part in.
func subjects(table *resource.Table, named map[schema.GroupVersionResource][]numbered, all []numbered) map[topic]subject {
	out := map[topic]subject{}
	for gvr, watches := range named {
		d := table.Lookup(gvr.GroupResource())
		if d == nil || !slices.Contains(d.Versions, gvr.Version) {
			continue
		}
		out[topic{gvr.GroupResource(), gvr.Version}] = subject{gvr, d, withOwners(table, watches)}
	}
	if len(all) == 0 {
		return out
	}
	for _, res := range hostclient.Resources(table) {
		if of := watchesOf(all, res); len(of) > 0 {
			out[topic{resource: res.Definition.GroupResource()}] = subject{res.GroupVersionResource, res.Definition, withOwners(table, of)}
		}
	}
	return out
}

// withOwners are watches that know whether the owners which they look for have
// a namespace.
func withOwners(table *resource.Table, watches []numbered) []numbered {
	out := slices.Clone(watches)
	for i, w := range out {
		if gk, ok := parseKind(w.Arg); ok && controller.MapKind(w.Map) == controller.MapOwner {
			d := table.LookupKind(gk)
			out[i].ownerless = d != nil && !d.Namespaced
		}
	}
	return out
}

// follower follows one topic. It outlives the definition that it began with:
// what it has told of is not told again.
type follower struct {
	subject
	differ *informer.Differ
	following
	// leaving: its resource has left the catalog, and what happened before is still
	// being told.
	leaving bool
}

// leave ends a follower whose topic stands for nothing any more, and tells whether it
// has ended. The watches of a resource that has left the catalog end by themselves,
// with all that they had to tell: the deletions of its last objects.
func (f *follower) leave(gone bool) (ended bool) {
	if !gone {
		f.end()
		return true
	}
	f.leaving = true
	f.informer.Finish()
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// followKinds follows the resources that a controller watches, by name and as
// part of all: those that are there, those that come, and those that change. Of
// one that goes is told what happened before it went, and not that its objects are
// gone: who takes a definition away has them deleted before, or they are still there
// and come back with it. It returns when intake has ended and nothing is followed any
// more.
func (r *runner) followKinds(named map[schema.GroupVersionResource][]numbered, all []numbered, m *mapper) {
	followers := map[topic]*follower{}
	var starting sync.WaitGroup
	defer starting.Wait()
	defer func() {
		for _, f := range followers {
			f.end()
		}
	}()
	ended := make(informer.Signal, 1)
	late := r.clock.NewTimer(awaitGrace)
	defer late.Stop()
	var told []string
	for first, grace := true, true; ; first = false {
		table := r.catalog.Snapshot()
		now := subjects(table, named, all)
		for t, f := range followers {
			if _, ok := now[t]; !ok && f.leave(table.Lookup(t.resource) == nil) {
				delete(followers, t)
			}
		}
		for t, s := range now {
			f := followers[t]
			if f != nil && !f.leaving && f.definition == s.definition && f.alike(s) {
				continue
			}
			if f != nil {
				f.end()
			}
			if f == nil || !f.alike(s) { // who looks otherwise is told of everything
				f = &follower{}
				f.differ = informer.NewDiffer(func(e watch.Event) { m.event(r.intake, f.watches, e) })
				followers[t] = f
			}
			f.subject, f.leaving = s, false
			f.following = r.followOne(s.resource, seen{f.differ, r.host.Observed, s.resource.GroupResource()}, ended)
		}
		if first {
			var list []following
			for _, f := range followers {
				list = append(list, f.following)
			}
			starting.Go(func() { r.begin(list) })
		}
		awaited := awaited(named, now)
		if first && len(awaited) > 0 {
			r.log.Info("controller watches resources that are not defined yet, and waits for them", "resources", awaited)
		}
		if !grace && !slices.Equal(awaited, told) {
			told = awaited
			if r.c.Awaits != nil {
				r.c.Awaits(r.intake, awaited)
			}
		}
		select {
		case <-table.Superseded():
		case <-ended:
		case <-late.C():
			grace = false
		case <-r.intake.Done():
			return
		}
	}
}

// syncGrace bounds how long a controller does nothing because what it watches cannot
// be listed.
const syncGrace = 10 * time.Second

// begin lets the workers begin as soon as everything that is followed has been listed. A
// change between what a reconcile reads and a list that comes after it would wake
// nobody: upstream's controllers wait for their caches, too.
func (r *runner) begin(list []following) {
	defer close(r.synced)
	late := r.clock.NewTimer(syncGrace)
	defer late.Stop()
	for _, f := range list {
		select {
		case <-f.informer.Synced():
		case <-f.done:
		case <-late.C():
			r.log.Warn("controller begins before it has seen everything that it watches: a resource cannot be listed", "resource", f.resource)
			return
		case <-r.intake.Done():
			return
		}
	}
}

// seen is a Differ that notes of which revision a list was: what was deleted before it
// is told by no event, and must not be read any more.
type seen struct {
	*informer.Differ
	observed *hostclient.Observed
	resource schema.GroupResource
}

// Replace implements informer.Handler.
func (s seen) Replace(ctx context.Context, l *registry.List) {
	s.observed.Observe(s.resource, l.Revision)
	s.Differ.Replace(ctx, l)
}

// following is an informer that runs.
type following struct {
	resource string
	informer *informer.Informer
	cancel   context.CancelFunc
	done     chan struct{} // closed when it has ended
}

// end stops it and waits for it.
func (f following) end() { f.cancel(); <-f.done }

// followOne begins to follow a resource. ended is told when that is over.
func (r *runner) followOne(gvr schema.GroupVersionResource, handler informer.Handler, ended informer.Signal) following {
	ctx, cancel := context.WithCancel(r.intake)
	c := r.follow
	c.Target, c.Handler = registry.Target{Resource: gvr}, handler
	f := following{gvr.Resource, informer.New(c), cancel, make(chan struct{})}
	go func() {
		defer ended.Raise()
		defer close(f.done)
		defer cancel()
		f.informer.Run(ctx)
	}()
	return f
}

// awaitGrace is how long a resource may take to be defined before somebody is told: a
// name may be misspelt.
const awaitGrace = time.Minute

// awaited is what the controller watches and nobody has defined yet, in order.
func awaited(named map[schema.GroupVersionResource][]numbered, now map[topic]subject) (out []string) {
	for gvr, watches := range named {
		if _, ok := now[topic{gvr.GroupResource(), gvr.Version}]; !ok {
			out = append(out, watches[0].Resource)
		}
	}
	slices.Sort(out)
	return out
}

// watchesOf are the watches of all resources that one takes part in.
func watchesOf(watches []numbered, res hostclient.Resource) []numbered {
	var out []numbered
	for _, n := range watches {
		if slices.Contains(n.where, hostclient.Namespaced) && !res.Namespaced ||
			slices.Contains(n.where, hostclient.Collected) && res.Strategy.NotCollected {
			continue
		}
		n.resource, n.all = res.Definition.GroupResource(), &res
		out = append(out, n)
	}
	return out
}
