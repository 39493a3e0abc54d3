package pod

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/pod/allocation"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
)

// admission decides, once per pod, whether the node takes it up. Pods are
// asked in the order of their arrival, so that a later one cannot push out an
// earlier one. After a restart of the agent those come first that were taken
// up before, unasked: they have something in the runtime, or a start time in
// the API. The others wait until all of these are known.
type admission struct {
	waiting  atomic.Int32 // resizes that wait for room
	mu       sync.Mutex   // held while a decision is made
	open     bool         // guarded by mu
	found    map[types.UID]bool
	arrivals map[types.UID]*corev1.Pod // wait for open; guarded by mu
}

// Adopt learns which pods have something in the runtime. It comes before the
// first Update, and tries until the runtime answers or ctx ends.
// RATIONALE.md: "Why is a pod that was taken up not asked again?"
func (w *Workers) Adopt(ctx context.Context) error {
	retry := backoff.New(firstRetry, maxRetry)
	for {
		pods, err := w.cfg.Runtime.Pods(ctx)
		if err == nil {
			retry.Succeeded(w.cfg.Log)
			w.admission.mu.Lock()
			defer w.admission.mu.Unlock()
			w.admission.found = map[types.UID]bool{}
			for uid := range pods {
				w.admission.found[uid] = true
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retry.Failed(w.cfg.Log, "pods wait for the runtime to answer", err)):
		}
	}
}

// Open lets in the pods that have arrived so far, the oldest first, and from
// then on each as it comes. It is called once all pods that the API has are
// known.
func (w *Workers) Open() {
	a := &w.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range slices.SortedFunc(maps.Values(a.arrivals), byAge) {
		w.add(p, w.ask(p, w.active()))
	}
	a.open, a.found, a.arrivals = true, nil, nil
	w.decideResizes()
}

func byAge(a, b *corev1.Pod) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// deliver gives a pod without a worker one. It may have got one meanwhile, by
// Open.
func (w *Workers) deliver(pod *corev1.Pod) {
	a := &w.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case w.tell(pod, false):
	case pod.DeletionTimestamp != nil || podspec.Final(pod) || admit.Known(pod) || a.found[pod.UID]:
		delete(a.arrivals, pod.UID)
		w.add(pod, nil)
	case !a.open:
		if a.arrivals == nil {
			a.arrivals = map[types.UID]*corev1.Pod{}
		}
		a.arrivals[pod.UID] = pod
	default:
		w.add(pod, w.ask(pod, w.active()))
	}
}

// withdraw forgets a pod that waits. It may have got a worker meanwhile, by Open.
func (w *Workers) withdraw(pod *corev1.Pod) {
	w.admission.mu.Lock()
	defer w.admission.mu.Unlock()
	if !w.tell(pod, true) {
		delete(w.admission.arrivals, pod.UID)
	}
}

// ask asks whether there is room for a pod beside the active ones. It is called
// with admission.mu held.
func (w *Workers) ask(pod *corev1.Pod, active map[types.UID]*corev1.Pod) *admit.Refusal {
	if w.cfg.Admit == nil {
		return nil
	}
	w.mu.Lock()
	ctx := w.ctx
	w.mu.Unlock()
	if ctx == nil {
		ctx = context.Background() // not running yet; Admit bounds its own calls
	}
	others := make([]*corev1.Pod, 0, len(active))
	for uid, p := range active {
		if uid != pod.UID {
			others = append(others, p)
		}
	}
	return w.cfg.Admit(ctx, pod, others)
}

// active are the pods that take something of the node.
func (w *Workers) active() map[types.UID]*corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return activeOf(w.workers)
}

// activeOf is called with the Workers' mu held.
func activeOf(workers map[types.UID]*worker) map[types.UID]*corev1.Pod {
	out := make(map[types.UID]*corev1.Pod, len(workers))
	for uid, k := range workers {
		if p := k.view.current(); k.view.refused == nil && admit.Active(p) {
			out[uid] = p
		}
	}
	return out
}

// add gives a pod its worker; one that was refused has nothing to run.
func (w *Workers) add(pod *corev1.Pod, refused *admit.Refusal) {
	log := w.cfg.Log.With("namespace", pod.Namespace, "name", pod.Name, "uid", pod.UID)
	v := &view{refused: refused, pod: pod, allocated: allocation.New(pod.UID, w.cfg.Allocations, w.cfg.PIDs, log)}
	if refused != nil {
		log.Info("pod refused", "reason", refused.Reason, "message", refused.Message)
		w.do.events.Tell(pod, "", corev1.EventTypeWarning, refused.Reason, refused.Message)
	} else {
		v.allocated.Restore(pod)
	}
	core := lifecycle.New(lifecycle.Config{Refused: refused, RuntimeName: w.cfg.RuntimeName, PIDs: w.cfg.PIDs, Log: log})
	k := newWorker(v, w.do, core, w, w.cfg.Clock, log)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.workers[pod.UID]; ok {
		return
	}
	w.workers[pod.UID] = k
	if w.ctx != nil && !w.ended {
		w.launch(w.ctx, k)
	}
}
