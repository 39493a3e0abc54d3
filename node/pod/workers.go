// Package pod runs the pods of a node: one worker, a goroutine, per pod. A
// worker shows the runtime to the pod's Core (package lifecycle), which decides,
// and carries out what that asks for (package executor); tasks have goroutines of
// their own, so that a slow pull or hook never keeps a pod from being looked at.
// What must be remembered is in the runtime, on the disk and in the API, so that
// a new process continues where the last one was killed.
//
// Workers are the set of them: which pods the node takes up, in which order;
// who is given room; and what of pods that nobody has any more must go.
//
// Start reading at worker.step.
package pod

import (
	"context"
	"log/slog"
	"slices"
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
	"github.com/pintle-io/pintle/node/pod/executor"
	"github.com/pintle-io/pintle/node/pod/report"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/volume"
)

// Pauses between tries of what concerns all pods.
const (
	firstRetry = 500 * time.Millisecond
	maxRetry   = 30 * time.Second
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
	cfg     Config
	probes  *probe.Manager
	reports *report.Writer
	do      *executors
	orphans *orphans

	admission admission

	mu      sync.Mutex
	ctx     context.Context       // of Run; nil before; guarded by mu
	ended   bool                  // Run waits for those that were launched; guarded by mu
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
	w := &Workers{cfg: cfg, workers: map[types.UID]*worker{}}
	w.reports = report.New(cfg.Client, cfg.Log, w.written)
	groups, events := executor.Groups{System: cfg.Cgroups, Parent: cfg.CgroupParent}, executor.Events{Recorder: cfg.Recorder}
	w.probes = probe.New(probe.Config{Prober: cfg.Prober, Changed: w.Notify, Clock: cfg.Clock, Log: cfg.Log,
		// The oldest process stands for all: a pod has one network, and those
		// just made may not be in it.
		Listening: func(uid types.UID) (map[uint16]bool, error) {
			pids, err := cfg.Cgroups.Procs(groups.Of(uid))
			if err != nil || len(pids) == 0 {
				return nil, err
			}
			return probe.Listening(slices.Min(pids))
		},
		Unhealthy: func(t probe.Target, message string) {
			events.Tell(t.Pod, t.Container.Name, corev1.EventTypeWarning, "Unhealthy", message)
		}})
	w.do = newExecutors(&w.cfg, groups, events, w.probes, w.reports)
	w.orphans = newOrphans(&w.cfg, w.do.sandboxes, w, &w.admission.mu)
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
	w.reports.Run(ctx)
	<-ctx.Done()
	w.mu.Lock()
	w.ended = true // after this no worker is launched any more
	w.mu.Unlock()
	w.group.Wait()
	w.probes.Wait()
	return nil
}

// Update tells the workers of a new or changed pod. The pod is not changed by
// them.
func (w *Workers) Update(pod *corev1.Pod) {
	if !w.tell(pod, false) {
		w.deliver(pod)
	}
}

// Remove tells the workers that the API has the pod no more.
func (w *Workers) Remove(pod *corev1.Pod) {
	if !w.tell(pod, true) {
		w.withdraw(pod)
	}
}

// tell tells a pod's worker what the API has of it, and reports whether it has a
// worker.
func (w *Workers) tell(pod *corev1.Pod, gone bool) bool {
	k := w.of(pod.UID)
	if k != nil && k.view.set(pod, gone) {
		k.nudge()
	}
	return k != nil
}

// Notify makes the worker of a pod look again.
func (w *Workers) Notify(uid types.UID) {
	if k := w.of(uid); k != nil {
		k.nudge()
	}
}

// SourceChanged is Notify for a change in what the pod refers to: volumes are
// brought up to date, and containers that waited for it are tried at once.
func (w *Workers) SourceChanged(uid types.UID) {
	if k := w.of(uid); k != nil {
		k.view.markStale()
		k.nudge()
	}
}

// Pods lists the pods of all workers, with the status that the node last gave
// them. They must not be changed.
func (w *Workers) Pods() []*corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*corev1.Pod, 0, len(w.workers))
	for _, k := range w.workers {
		out = append(out, k.view.current())
	}
	return out
}

// Sweep removes, at once and then at intervals until ctx ends, whatever
// belongs to pods that the API does not have. It must not be called before the
// workers have been told of all pods.
func (w *Workers) Sweep(ctx context.Context) error { return w.orphans.run(ctx) }

// of is the worker of a pod, nil when it has none.
func (w *Workers) of(uid types.UID) *worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.workers[uid]
}

func (w *Workers) has(uid types.UID) bool { return w.of(uid) != nil }

// launch is called with mu held.
func (w *Workers) launch(ctx context.Context, k *worker) {
	w.group.Add(1)
	go func() {
		defer w.group.Done()
		k.run(ctx)
		if k.core.Done() {
			w.forget(k)
		}
	}()
}

// forget drops the worker of a pod that is gone.
func (w *Workers) forget(k *worker) {
	k.view.allocated.Forget()
	w.mu.Lock()
	if w.workers[k.uid] == k {
		delete(w.workers, k.uid)
	}
	w.mu.Unlock()
	w.roomMade()
}

// written is told the status that the API took.
func (w *Workers) written(pod *corev1.Pod) {
	if k := w.of(pod.UID); k != nil {
		k.view.written(pod)
	}
}
