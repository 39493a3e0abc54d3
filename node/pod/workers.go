// Package pod runs the pods of a node: one worker, a goroutine, per pod. A
// worker looks at the runtime, asks package plan what to do next, starts the
// actions (each in a goroutine of its own, so that a slow pull or hook never
// keeps a pod from being looked at), and tells the API the pod's status. What
// a worker must remember is in the runtime and in the API, so that a new
// process continues where the last one was killed.
//
// Start reading at worker.step.
package pod

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/checkpoint"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/volume"
)

// Sources follows the ConfigMaps and Secrets that pods refer to.
type Sources interface {
	podspec.Sources
	// Hold follows what pod refers to, and nothing else of that pod; changes
	// are told to the pod's worker.
	Hold(pod *corev1.Pod)
	// Release ends following for a pod.
	Release(uid types.UID)
}

// Config of Workers. Every field without a remark is required.
type Config struct {
	Client  kubernetes.Interface
	Runtime *cri.Client
	// RuntimeName is the scheme of container ids, such as "containerd".
	RuntimeName string
	// ImageMounts is whether the runtime can mount images as volumes.
	ImageMounts cri.ImageMounts
	Volumes     *volume.Manager
	Images      *image.Puller
	Sources     Sources
	Cgroups     *cgroup.System
	// CgroupParent is the group that holds one group per pod.
	CgroupParent string
	// Allocations outlive the agent in this store. Nil: they do not.
	Allocations *checkpoint.Store
	Recorder    record.EventRecorder
	// Node describes the node; it is called at each use.
	Node func() *podspec.Node
	// Services lists the Services known to the node.
	Services func() []*corev1.Service
	// NetworkReady says whether pods can be given addresses.
	NetworkReady func() bool
	// Draining takes a pod out of every balancer. It returns when that is
	// done, or when ctx ends. Nil does nothing.
	Draining func(ctx context.Context, pod *corev1.Pod) error
	// Admit decides whether the node takes up a pod beside others; nil takes
	// up every pod. It is called once per pod, never twice at the same time.
	Admit func(ctx context.Context, pod *corev1.Pod, others []*corev1.Pod) *admit.Refusal
	// DrainTimeout bounds Draining.
	DrainTimeout time.Duration
	// PIDs bounds the tasks of a pod; 0 means no limit.
	PIDs int64
	// Prober makes probe attempts.
	Prober probe.Prober
	// Clock is the real one when nil.
	Clock clock.WithTicker
	// Log may be nil.
	Log *slog.Logger
}

// Workers runs the workers of all pods. Its methods may be called
// concurrently.
type Workers struct {
	Config
	probes *probe.Manager
	writer *writer
	heavy  chan struct{} // bounds expensive calls to the runtime

	admission admission

	mu      sync.Mutex
	ctx     context.Context       // of Run; nil before; guarded by mu
	workers map[types.UID]*worker // guarded by mu
	group   sync.WaitGroup
}

// NewWorkers makes the workers. They begin with Run.
func NewWorkers(cfg Config) *Workers {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Workers{Config: cfg, workers: map[types.UID]*worker{},
		// More at once do not come up faster: starting a pod is CPU-bound.
		heavy: make(chan struct{}, max(2*runtime.NumCPU(), 4))}
	w.probes = probe.New(probe.Config{Prober: cfg.Prober, Changed: w.Notify, Listening: w.listening, Unhealthy: w.unhealthy,
		Clock: cfg.Clock, Log: cfg.Log})
	w.writer = newWriter(cfg.Client, cfg.Log, w.written)
	return w
}

// Run lets the workers work until ctx ends, and returns when all have come to
// rest. Containers run on.
func (w *Workers) Run(ctx context.Context) error {
	w.mu.Lock()
	w.ctx = ctx
	for _, k := range w.workers {
		w.launch(ctx, k)
	}
	w.mu.Unlock()
	w.writer.run(ctx)
	<-ctx.Done()
	w.mu.Lock() // after this no worker is launched any more
	w.mu.Unlock()
	w.group.Wait()
	w.probes.Wait()
	return nil
}

// Update tells the workers of a new or changed pod. The pod is not changed by
// them.
func (w *Workers) Update(pod *corev1.Pod) {
	w.mu.Lock()
	k, ok := w.workers[pod.UID]
	w.mu.Unlock()
	if !ok {
		w.arrive(pod)
		return
	}
	k.set(pod, false)
}

// Remove tells the workers that the API has the pod no more.
func (w *Workers) Remove(pod *corev1.Pod) {
	w.mu.Lock()
	k, ok := w.workers[pod.UID]
	w.mu.Unlock()
	if !ok {
		w.leave(pod.UID)
		return
	}
	k.set(pod, true)
}

// Notify makes the worker of a pod look again.
func (w *Workers) Notify(uid types.UID) {
	w.mu.Lock()
	k, ok := w.workers[uid]
	w.mu.Unlock()
	if ok {
		k.nudge()
	}
}

// SourceChanged is Notify for a change in what the pod refers to: volumes are
// brought up to date, and containers that waited for it are tried at once.
func (w *Workers) SourceChanged(uid types.UID) {
	w.mu.Lock()
	k, ok := w.workers[uid]
	w.mu.Unlock()
	if ok {
		k.sourceChanged()
	}
}

// Pods lists the pods of all workers, with the status that the node last gave
// them.
func (w *Workers) Pods() []*corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*corev1.Pod, 0, len(w.workers))
	for _, k := range w.workers {
		out = append(out, k.current())
	}
	return out
}

func (w *Workers) has(uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.workers[uid]
	return ok
}

// launch is called with mu held.
func (w *Workers) launch(ctx context.Context, k *worker) {
	w.group.Add(1)
	go func() {
		defer w.group.Done()
		k.run(ctx)
		if !k.done {
			return
		}
		k.forget()
		w.mu.Lock()
		if w.workers[k.uid] == k {
			delete(w.workers, k.uid)
		}
		w.mu.Unlock()
		w.roomMade()
	}()
}

// written is told the status that the API took.
func (w *Workers) written(pod *corev1.Pod) {
	w.mu.Lock()
	k, ok := w.workers[pod.UID]
	w.mu.Unlock()
	if ok {
		k.written(pod)
	}
}

// slot waits for a place among the expensive calls.
func (w *Workers) slot(ctx context.Context) (release func(), err error) {
	select {
	case w.heavy <- struct{}{}:
		return func() { <-w.heavy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
