package fairness

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/flowcontrol"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	fcrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/informer/shared"
	"github.com/pintle-io/pintle/kernel/registry"
)

// The resources that a Control follows.
var (
	FlowSchemas    = flowcontrolv1.SchemeGroupVersion.WithResource("flowschemas")
	PriorityLevels = flowcontrolv1.SchemeGroupVersion.WithResource("prioritylevelconfigurations")
)

// Implements are the resources that a Control acts on; see kernel/implementers.
func Implements() []schema.GroupResource {
	return []schema.GroupResource{FlowSchemas.GroupResource(), PriorityLevels.GroupResource()}
}

// Registry is what a Control reads and writes, as the server itself: no policy may
// refuse it.
type Registry interface {
	informer.Source
	Create(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error)
	Update(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error)
	Patch(ctx context.Context, t registry.Target, pt types.PatchType, patch []byte, o registry.WriteOptions) (*registry.Result, error)
	Delete(ctx context.Context, t registry.Target, o metav1.DeleteOptions) (*registry.Result, error)
}

// Config is what a Control is made of.
type Config struct {
	Registry Registry
	// Seats is how many requests, exempt ones aside, are executed at once, by all
	// levels together.
	Seats int
	// Wait is how long a request without a deadline may queue; one with a deadline
	// queues for a quarter of what is left of it. Neither is more than a minute.
	Wait time.Duration
	// Size tells how many objects there are of a resource, and their bytes: what a
	// list of them costs. It must not block.
	Size func(schema.GroupResource) (objects, bytes int, ok bool)

	Clock     clock.Clock // nil is the real one
	Informers *informer.Metrics
	Log       *slog.Logger // nil discards
}

// Control gives requests their turn. Before Run has read the objects it knows the
// levels exempt and catch-all alone.
type Control struct {
	c        Config
	library  flowcontrol.Interface
	estimate fcrequest.WorkEstimatorFunc
	dropped  flowcontrol.DroppedRequestsTracker
	schemas  *shared.Objects[*flowcontrolv1.FlowSchema]
	levels   *shared.Objects[*flowcontrolv1.PriorityLevelConfiguration]
	changed  informer.Signal
	looks    informer.Signal // the library reads them
	writer   *statusWriter
	goesBy   chan struct{}
}

// New makes a Control. Its metrics are the process's, as the library has them.
func New(c Config) *Control {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	metrics.Register()
	f := &Control{c: c, dropped: flowcontrol.NewDroppedRequestsTracker(), changed: make(informer.Signal, 1), looks: make(informer.Signal, 1), goesBy: make(chan struct{}), writer: &statusWriter{registry: c.Registry}}
	f.schemas = shared.New[*flowcontrolv1.FlowSchema](f.changed)
	f.levels = shared.New[*flowcontrolv1.PriorityLevelConfiguration](f.changed)
	f.library = flowcontrol.New(feed{schemas: f.schemas, levels: f.levels, looks: f.looks}, client{writer: f.writer}, c.Seats)
	f.estimate = fcrequest.NewWorkEstimator(f.stats, f.library.GetInterestedWatchCount, fcrequest.DefaultWorkEstimatorConfig(), f.library.GetMaxSeats)
	return f
}

// stats is what the library asks about a resource, by its name in one word.
func (f *Control) stats(resource string) (storage.Stats, error) {
	n, bytes, ok := f.c.Size(schema.ParseGroupResource(resource))
	if !ok {
		return storage.Stats{}, fcrequest.ObjectCountNotFoundErr
	}
	s := storage.Stats{ObjectCount: int64(n)}
	if n > 0 {
		s.EstimatedAverageObjectSizeBytes = max(int64(bytes/n), 1)
	}
	return s, nil
}

// Synced is closed once the objects that every cluster has are there, and requests are
// sorted by them and by all others that were there at the start.
func (f *Control) Synced() <-chan struct{} { return f.goesBy }

// DebugPaths are the pages on which upstream shows levels, queues and requests. They
// tell what others ask: whoever serves them does so behind authorization.
func (f *Control) DebugPaths() map[string]http.Handler {
	pages := mux.NewPathRecorderMux("priority-and-fairness")
	f.library.Install(pages)
	out := map[string]http.Handler{}
	for _, page := range []string{"dump_priority_levels", "dump_queues", "dump_requests"} {
		out["/debug/api_priority_and_fairness/"+page] = pages
	}
	return out
}

// Run follows the objects, and keeps those that every cluster has, until ctx ends. It
// is called once.
func (f *Control) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f.writer.begin(ctx)
	following := []*informer.Informer{f.follow(FlowSchemas, f.schemas), f.follow(PriorityLevels, f.levels)}
	for _, i := range following {
		group.Go(func() { i.Run(ctx) })
	}
	for _, i := range following {
		select {
		case <-i.Synced():
		case <-ctx.Done():
			return nil
		}
	}
	f.schemas.MarkSynced()
	f.levels.MarkSynced()
	group.Go(func() { f.keep(ctx) })
	if err := f.library.Run(ctx.Done()); err != nil && ctx.Err() == nil {
		return errors.Join(errors.New("priority and fairness"), err)
	}
	return nil
}

func (f *Control) follow(gvr schema.GroupVersionResource, h informer.Handler) *informer.Informer {
	return informer.New(informer.Config{Name: "fairness/" + gvr.Resource, Registry: f.c.Registry, Target: registry.Target{Resource: gvr},
		Handler: h, Clock: f.c.Clock, Metrics: f.c.Informers, Log: f.c.Log})
}
