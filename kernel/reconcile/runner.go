package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/present"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

const (
	// maxWorkers bounds what a manifest may ask for.
	maxWorkers = 32
	// expensive is a reconcile that cools down as long as it took before the next change
	// of its object begins it anew: an object with thousands of dependents
	// changes all the time, and one look serves many changes. maxCooldown bounds
	// how late a change may be seen.
	expensive   = 10 * time.Millisecond
	maxCooldown = 250 * time.Millisecond
	// leastDelay is how long a request that is to come back in a while waits at least,
	// however long its reconcile took: delays count from what the controller was told
	// is now, so that what is due at a time comes back at that time.
	leastDelay = time.Second
	// stopGrace is how long a controller that is stopped may take to end its
	// work in hand before that is broken off.
	stopGrace = 5 * time.Second
)

// runner is one controller at work.
type runner struct {
	name    string
	c       Controller
	host    *hostclient.Config
	follow  informer.Config // but for target and handler
	catalog *resource.Catalog
	clock   clock.WithDelayedExecution
	metrics *metrics
	log     *slog.Logger
	faults  *faults

	intake context.Context // ends when no new work is to be begun
	halt   context.CancelFunc
	kill   context.CancelFunc // breaks off the work in hand
	done   chan struct{}
	queue  *Queue
	synced chan struct{} // closed when the workers may begin
}

// stop lets the controller end its work in hand, and waits for it.
func (r *runner) stop() {
	r.halt()
	t := r.clock.NewTimer(stopGrace)
	defer t.Stop()
	select {
	case <-r.done:
	case <-t.C():
	}
	r.kill()
	<-r.done
}

// run opens a first instance, learns from its manifest what to watch, and
// works until intake ends. ctx is that of the calls.
func (r *runner) run(ctx context.Context) {
	defer r.kill()
	defer r.queue.Close()
	first := r.newSlot()
	if first.open(ctx) != nil {
		return
	}
	manifest := first.inst.Manifest()
	workers := min(max(int(manifest.Workers), 1), maxWorkers)
	var group sync.WaitGroup
	group.Go(func() { r.work(ctx, first, 0, workers) })
	for i := 1; i < workers; i++ {
		group.Go(func() { r.work(ctx, r.newSlot(), i, workers) })
	}
	mapper := &mapper{r: r, slot: r.newSlot()}
	group.Go(func() { r.followKinds(r.byResource(manifest.Watches), r.overAll(manifest.Watches), mapper) })
	group.Wait()
	mapper.end()
}

// numbered is a watch with its place in the manifest.
type numbered struct {
	wire.Watch
	index    int
	resource schema.GroupResource
	present  present.Paths
	fields   *record.Plan // what a map of its own is shown, or a MapField reads
	changed  *record.Plan // what must change for a map of its own to be called; nil: anything
	// condition is the one whose status must have changed; "": the fields of changed.
	condition string
	// ownerless: the owner's kind of a MapOwner has no namespace.
	ownerless bool
	// all is what the watch of all resources is of here, nil for a watch of one
	// resource; where restricts it, see hostclient.Resources.
	all   *hostclient.Resource
	where []string
}

// changedOf prepares to compare what a watch asks to have changed.
func changedOf(w wire.Watch) (*record.Plan, error) {
	if controller.MapKind(w.Map) != controller.MapFunc {
		return nil, nil
	}
	paths, ok := strings.CutPrefix(w.Arg, controller.OnlyChanged)
	switch {
	case conditionOf(w) != "":
		paths = "status.conditions.type,status.conditions.status"
	case !ok:
		return nil, nil
	}
	f, err := record.FieldsOfPaths(strings.Split(paths, ",")...)
	if err != nil {
		return nil, err
	}
	return projection.Of(f.String())
}

// conditionOf is the condition whose changes a map of its own asks for.
func conditionOf(w wire.Watch) string {
	if name, ok := strings.CutPrefix(w.Arg, controller.OnlyCondition); ok && controller.MapKind(w.Map) == controller.MapFunc {
		return name
	}
	return ""
}

// fieldsOf prepares to write what the map of a watch reads.
func fieldsOf(w wire.Watch) (*record.Plan, error) {
	if k := controller.MapKind(w.Map); k != controller.MapField && k != controller.MapFieldChanged {
		return projection.Of(w.Fields)
	}
	f, err := record.FieldsOfPaths(w.Arg)
	if err != nil {
		return nil, err
	}
	return projection.Of(f.String())
}

// byResource are the watches of a manifest that name a resource, whether or not
// that is defined yet.
func (r *runner) byResource(list []wire.Watch) map[schema.GroupVersionResource][]numbered {
	out := map[schema.GroupVersionResource][]numbered{}
	for i, w := range list {
		if w.Resource == wire.AllResources {
			continue // see overAll
		}
		gvr, ok := hostclient.ParseResource(w.Resource)
		if !ok {
			r.log.Warn("controller watches what is no resource: want [GROUP/]VERSION/RESOURCE", "resource", w.Resource)
			continue
		}
		if err := r.host.MayWatch(registry.Target{Resource: gvr}); err != nil {
			// An instance may say what it likes: what it was loaded with counts.
			r.log.Warn("controller watches what it may not", "resource", w.Resource, "error", err)
			continue
		}
		paths, err := present.Parse(w.Present)
		if err != nil {
			r.log.Warn("controller watches a field that cannot be", "resource", w.Resource, "error", err)
			continue
		}
		n := numbered{Watch: w, index: i, resource: gvr.GroupResource(), present: paths, condition: conditionOf(w)}
		if n.changed, err = changedOf(w); err != nil {
			r.log.Warn("controller watches changes of fields that cannot be", "resource", w.Resource, "error", err)
			continue
		}
		if n.fields, err = fieldsOf(w); err != nil {
			r.log.Warn("controller watches fields that cannot be", "resource", w.Resource, "error", err)
			continue
		}
		out[gvr] = append(out[gvr], n)
	}
	return out
}

// work reconciles requests one after another.
func (r *runner) work(ctx context.Context, s *slot, number, of int) {
	defer s.close()
	select {
	case <-r.synced:
	case <-r.intake.Done():
		return
	}
	for {
		req, ok := r.next(s, number, of)
		if !ok {
			return
		}
		after, err := r.reconcile(ctx, s, req)
		r.queue.Done(req, err != nil, after)
	}
}

// next waits for a request. The instance that nothing comes for is given up
// meanwhile. A controller with one worker may rely on what that remembers as long
// as something is to come back.
func (r *runner) next(s *slot, number, of int) (Request, bool) {
	for s.inst != nil {
		idle, cancel := context.WithCancel(r.intake)
		t := r.clock.AfterFunc(idleGuest, cancel)
		req, ok := r.queue.GetAs(idle, number, of)
		t.Stop()
		cancel()
		if ok || r.intake.Err() != nil {
			return req, ok
		}
		if of > 1 || r.queue.empty() {
			s.close()
		}
	}
	return r.queue.GetAs(r.intake, number, of)
}

func (r *runner) reconcile(ctx context.Context, s *slot, req Request) (after time.Duration, err error) {
	ctx = plugin.ForNamespace(ctx, req.Namespace)
	if err := s.open(ctx); err != nil {
		return 0, err
	}
	start := r.clock.Now()
	resp, err := s.call(ctx, wire.OpReconcile, wire.AppendReconcile(nil, req, start))
	if errors.Is(err, plugin.ErrQuarantined) {
		return 0, err // status says it: the plugin was not asked
	}
	if err == nil {
		var enqueue []Request
		if after, enqueue, err = wire.ReconcileResult(resp); err == nil {
			err = r.queue.AddNamed(enqueue)
		}
	}
	took := r.clock.Since(start)
	if took > expensive {
		r.queue.Cooldown(req, min(took, maxCooldown))
	}
	if err != nil && r.intake.Err() != nil {
		return 0, err // it was broken off: that says nothing about it
	}
	out := r.faults.note(ctx, "reconcile", req, err)
	r.metrics.observe(r.name, took, out)
	after = max(after-took, min(after, leastDelay))
	if r.c.Called != nil {
		told := err
		if out == retried {
			told = nil // no fault of the plugin's
		}
		r.c.Called(took, told)
	}
	return after, err
}
