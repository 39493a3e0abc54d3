package scheduler

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/kernel/watch"
)

// objectUpdate is news of a resource that plugins read. It belongs to the informer
// that sent it: what comes late of one that was ended counts no more.
type objectUpdate struct {
	from *follower
	informer.Update
}

// follower follows one resource for the plugins that read it.
type follower struct {
	resource schema.GroupResource
	out      chan<- objectUpdate
	stop     context.CancelFunc
}

// Replace implements informer.Handler.
func (f *follower) Replace(ctx context.Context, l *registry.List) {
	f.send(ctx, informer.Update{Replace: true, Objects: l.Items})
}

// Apply implements informer.Handler.
func (f *follower) Apply(ctx context.Context, events []watch.Event) {
	f.send(ctx, informer.Update{Events: append([]watch.Event(nil), events...)})
}

func (f *follower) send(ctx context.Context, u informer.Update) {
	select {
	case f.out <- objectUpdate{f, u}:
	case <-ctx.Done():
	}
}

// following are the resources that are followed for plugins. It belongs to the loop.
type following struct {
	cfg   *Config
	cycle *cycle
	out   chan objectUpdate
	list  map[schema.GroupResource]*follower
	// begin runs an informer until its ctx ends; set by Run.
	begin func(*informer.Informer) context.CancelFunc
	at    time.Time // when it was looked at last what is to be followed
}

// follow begins to follow what plugins read, and ends what none reads any more. What is
// not there, or what a plugin may not read, is looked at again now and then; to read it
// is refused until then, which hurts those pods alone for which a plugin does.
func (f *following) follow() {
	if f.begin == nil {
		return // the loop is not running any more, or not yet
	}
	f.at = f.cfg.Clock.Now()
	wanted := map[schema.GroupResource]bool{}
	for _, in := range append(f.cycle.evaluator.Instances(), f.cycle.rehearsals.Instances()...) {
		a := in.Access()
		if a == nil {
			continue
		}
		for _, name := range in.Objects() {
			gvr, err := a.Resource(name)
			if err != nil {
				f.cfg.Log.Debug("a plugin reads what is not followed", "plugin", in.Name(), "resource", name, "error", err)
				continue
			}
			gr := gvr.GroupResource()
			wanted[gr] = true
			if f.list[gr] == nil {
				f.add(gvr, a)
			}
		}
	}
	for gr, x := range f.list {
		if !wanted[gr] {
			x.stop()
			delete(f.list, gr)
			f.cycle.objects.Forget(gr)
		}
	}
}

func (f *following) add(gvr schema.GroupVersionResource, a *objects.Access) {
	x := &follower{resource: gvr.GroupResource(), out: f.out}
	f.cycle.objects.Follow(x.resource)
	f.list[x.resource] = x
	x.stop = f.begin(informer.New(informer.Config{Name: "scheduler-plugins", Registry: a.Source, Target: registry.Target{Resource: gvr},
		Handler: x, Clock: f.cfg.Clock, Metrics: f.cfg.Informers, Log: f.cfg.Log}))
}

// sync stores news and tells what changed.
func (f *following) sync(u objectUpdate) []objects.Ref {
	if f.list[u.from.resource] != u.from {
		return nil
	}
	if u.Replace {
		return f.cycle.objects.Replace(u.from.resource, u.Objects)
	}
	return f.cycle.objects.Apply(u.from.resource, u.Events)
}

// objectsChanged wakes who waits for these objects.
func (s *Scheduler) objectsChanged(changed []objects.Ref, now time.Time) {
	s.cycle.queue.Changed(changed, now)
	s.preparing.changed(changed)
}
