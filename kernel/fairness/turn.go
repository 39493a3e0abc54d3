package fairness

import (
	"context"
	"iter"
	"net/http"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/util/flowcontrol"
	"k8s.io/apiserver/pkg/util/flowcontrol/metrics"
	fcrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
)

// maxWait is upstream's bound on how long anybody queues.
const maxWait = time.Minute

// Turn is one request's: where it was sorted in, and the seats that it holds while it
// is executed. It belongs to the goroutine that serves the request.
type Turn struct {
	control *Control
	request *http.Request
	gauges  gauges

	schema, level       string
	schemaUID, levelUID types.UID
	served              bool
	stop                func() // of the coroutine; nil when the seats have been given back
	cancel              context.CancelFunc
	forget              flowcontrol.ForgetWatchFunc // nil: it is no watch
	retryAfter          int
}

// gauges count the requests of one kind, reading or writing.
type gauges struct{ waiting, executing metrics.Gauge }

// Begin sorts a request in, by the user and the request info of its context, and waits
// until it may be executed; Served tells whether it may. The caller must End the Turn.
func (f *Control) Begin(r *http.Request) *Turn {
	ctx := r.Context()
	info, _ := request.RequestInfoFrom(ctx)
	u, _ := request.UserFrom(ctx)
	t := &Turn{control: f, request: r, gauges: gaugesOf(info.Verb)}
	ctx, t.cancel = f.waiting(ctx)
	// The library calls back when it is the request's turn, and takes the turn to be
	// over when that returns: it is suspended there until Release.
	resume, stop := iter.Pull(func(yield func(struct{}) bool) {
		f.library.Handle(ctx, flowcontrol.RequestDigest{RequestInfo: info, User: u}, t.sorted, t.work, t.queued, func() { yield(struct{}{}) })
	})
	t.stop = stop
	if _, t.served = resume(); !t.served {
		f.dropped.RecordDroppedRequest(t.level)
		t.retryAfter = int(f.dropped.GetRetryAfter(t.level))
		t.Release()
		return t
	}
	t.gauges.executing.Inc()
	if info.Verb == "watch" {
		t.forget = f.library.RegisterWatch(r)
	}
	return t
}

// waiting is a context that ends when a request must not queue any longer.
func (f *Control) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := f.c.Wait
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline) / 4
	}
	return context.WithTimeout(ctx, min(wait, maxWait))
}

func gaugesOf(verb string) gauges {
	switch verb {
	case "get", "list", "watch": // upstream's word for what does not change anything
		return gauges{metrics.GetWaitingReadonlyConcurrency(), metrics.GetExecutingReadonlyConcurrency()}
	}
	return gauges{metrics.GetWaitingMutatingConcurrency(), metrics.GetExecutingMutatingConcurrency()}
}

// sorted is told where the request belongs.
func (t *Turn) sorted(s *flowcontrolv1.FlowSchema, l *flowcontrolv1.PriorityLevelConfiguration, _ string) {
	t.schema, t.schemaUID, t.level, t.levelUID = s.Name, s.UID, l.Name, l.UID
}

// work estimates how many seats the request takes, and for how long.
func (t *Turn) work() fcrequest.WorkEstimate {
	w := t.control.estimate(t.request, t.schema, t.level)
	metrics.ObserveWorkEstimatedSeats(t.level, t.schema, w.MaxSeats())
	return w
}

func (t *Turn) queued(now bool) {
	if now {
		t.gauges.waiting.Inc()
	} else {
		t.gauges.waiting.Dec()
	}
}

// Served tells whether the request may be executed. If not, it is to be answered 429.
func (t *Turn) Served() bool { return t.served }

// RetryAfter is after how many seconds a request that is not served may come again. It
// grows while many of the level are refused.
func (t *Turn) RetryAfter() int { return t.retryAfter }

// Tell says in an answer's header where the request was sorted in: by uids, since the
// names are the operator's own affair.
func (t *Turn) Tell(h http.Header) {
	h.Set(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID, string(t.levelUID))
	h.Set(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID, string(t.schemaUID))
}

// Release gives the seats back: the request has been executed, and what is left is to
// send its answer, or the events of a watch that has begun. It may be called again.
func (t *Turn) Release() {
	if t.stop == nil {
		return
	}
	stop := t.stop
	t.stop = nil
	if t.served {
		t.gauges.executing.Dec()
	}
	defer t.cancel()
	stop()
}

// End ends the request; a watch does not count any more in what writes cost.
func (t *Turn) End() {
	t.Release()
	if t.forget != nil {
		t.forget()
		t.forget = nil
	}
}
