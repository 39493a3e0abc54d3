package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// maxWorkers bounds what a manifest may ask for.
const maxWorkers = 32

// runner is one controller at work.
type runner struct {
	name    string
	c       Controller
	host    *hostclient.Config
	reg     registry.Registry
	table   *resource.Table
	clock   clock.WithDelayedExecution
	metrics *metrics
	log     *slog.Logger
	cancel  context.CancelFunc
	done    chan struct{}
	queue   *Queue
}

func (r *runner) stop() {
	r.cancel()
	<-r.done
}

// run opens a first instance, learns from its manifest what to watch, and
// works until ctx ends.
func (r *runner) run(ctx context.Context) {
	r.queue = NewQueue(r.clock, func(d time.Duration) { r.metrics.wait.WithLabelValues(r.name).Observe(d.Seconds()) })
	defer r.queue.Close()
	first := r.newSlot()
	if !first.open(ctx) {
		return
	}
	manifest := first.inst.Manifest()
	var group sync.WaitGroup
	group.Go(func() { r.work(ctx, first) })
	for range min(max(int(manifest.Workers), 1), maxWorkers) - 1 {
		group.Go(func() { r.work(ctx, r.newSlot()) })
	}
	mapper := &mapper{r: r, slot: r.newSlot()}
	for gvr, watches := range byResource(manifest.Watches) {
		group.Go(func() {
			follow(ctx, r.reg, gvr, func(e watch.Event) { mapper.event(ctx, watches, e) }, nil)
		})
	}
	group.Wait()
	mapper.slot.close()
}

// numbered is a watch with its place in the manifest.
type numbered struct {
	wire.Watch
	index int
}

func byResource(list []wire.Watch) map[schema.GroupVersionResource][]numbered {
	out := map[schema.GroupVersionResource][]numbered{}
	for i, w := range list {
		if gvr, ok := parseResource(w.Resource); ok {
			out[gvr] = append(out[gvr], numbered{w, i})
		}
	}
	return out
}

// work reconciles requests one after another.
func (r *runner) work(ctx context.Context, s *slot) {
	defer s.close()
	for {
		req, ok := r.queue.Get(ctx)
		if !ok {
			return
		}
		after, err := r.reconcile(ctx, s, req)
		r.queue.Done(req, err != nil, after)
		if err != nil && ctx.Err() == nil {
			level := slog.LevelDebug // a conflict is the ordinary way of losing a race
			if k := wire.KindOf(err); k != wire.KindConflict {
				level = slog.LevelWarn
			}
			r.log.Log(ctx, level, "reconcile", "namespace", req.Namespace, "name", req.Name, "error", err)
		}
	}
}

func (r *runner) reconcile(ctx context.Context, s *slot, req Request) (time.Duration, error) {
	if !s.open(ctx) {
		return 0, ctx.Err()
	}
	start := r.clock.Now()
	resp, err := s.call(ctx, wire.OpReconcile, req.Append(nil))
	var after time.Duration
	if err == nil {
		after, err = wire.ReconcileResult(resp)
	}
	took := r.clock.Since(start)
	r.metrics.observe(r.name, took, err)
	if r.c.Called != nil && ctx.Err() == nil {
		r.c.Called(took, err)
	}
	return after, err
}

// slot holds one instance and replaces it after a fault.
type slot struct {
	r        *runner
	inst     plugin.Instance
	failures int
}

func (r *runner) newSlot() *slot { return &slot{r: r} }

// open makes sure that there is an instance, trying until ctx ends.
func (s *slot) open(ctx context.Context) bool {
	for s.inst == nil && ctx.Err() == nil {
		client := hostclient.New(s.r.host)
		inst, err := s.r.c.Open(ctx, client.Call)
		if err == nil {
			s.inst = inst
			break
		}
		s.failures++
		if ctx.Err() == nil {
			s.r.log.Error("open controller", "error", err)
			if s.r.c.Called != nil {
				s.r.c.Called(0, err)
			}
		}
		s.pause(ctx)
	}
	return s.inst != nil
}

// pause waits longer with every failure, up to half a minute.
func (s *slot) pause(ctx context.Context) {
	d := min(100*time.Millisecond<<min(s.failures, 9), 30*time.Second)
	t := s.r.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
	case <-ctx.Done():
	}
}

func (s *slot) call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	resp, err := s.inst.Call(ctx, op, req)
	if err != nil && isFault(err) {
		s.close()
		s.failures++
		s.pause(ctx)
	} else {
		s.failures = 0
	}
	return resp, err
}

func isFault(err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return !ok || e.Kind.Fault()
}

func (s *slot) close() {
	if s.inst != nil {
		_ = s.inst.Close()
		s.inst = nil
	}
}
