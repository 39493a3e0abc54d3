// Package horizontalpodautoscaler sets how many replicas a Deployment, a StatefulSet or
// anything else with a scale has, by metrics: of its pods, of other objects, of what is
// outside of the cluster (autoscaling/v2).
//
// Every autoscaler is looked at every 15 seconds: round by round, scale and metrics are
// read, what is to be done is decided (autoscaler, round and history, which are pure), and
// scale and status are written.
package horizontalpodautoscaler

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	autoscalingv1 "github.com/pintle-io/pintle/sdk/api/autoscaling/v1"
	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// period is how often an autoscaler is looked at: upstream's
// --horizontal-pod-autoscaler-sync-period.
const period = 15 * time.Second

// conflicts is how often the replicas are set anew when others change the target.
const conflicts = 5

const autoscalers = "autoscaling/v2/horizontalpodautoscalers"

func init() {
	sdk.Register(sdk.Plugin{Name: "horizontal-pod-autoscaler", New: func([]byte) (sdk.Points, error) {
		r := newReconciler(time.Now)
		return &controller.Points{
			// Its own writes of the status wake nobody.
			Watches: []controller.Watch{
				{Resource: autoscalers, Map: controller.Added(itself), Fields: named},
				{Resource: autoscalers, Map: controller.Changed(itself, "spec"), Fields: named},
				{Resource: autoscalers, Map: controller.Deleted(itself), Fields: named},
			},
			Workers:    1, // what is remembered is one instance's
			Implements: []string{autoscalers},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				r.now = c.Now
				return r.reconcile(c, q)
			},
		}, nil
	}})
}

var named = []string{"metadata.namespace", "metadata.name"}

func itself(o sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: o.Get("metadata.name").String()}}
}

type reconciler struct {
	memory  memory
	sources sources // how long others take is measured by this machine's clock
	now     func() time.Time
}

func newReconciler(now func() time.Time) *reconciler {
	return &reconciler{memory: memory{}, sources: sources{away: away{}, now: now}, now: now}
}

func (r *reconciler) reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	h := &autoscalingv2.HorizontalPodAutoscaler{}
	if err := c.Get(h, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			r.memory.forget(q)
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	a := &autoscaler{HorizontalPodAutoscaler: h, history: r.memory.of(q, h.UID), now: r.now()}
	before := client.Clone(&h.Status)
	// What goes wrong with a target or its metrics is told by conditions and events, and
	// looked at again in the next round, as upstream does; sooner is no better.
	if err := r.round(c, q, a); err != nil {
		return controller.Result{}, err
	}
	for _, n := range a.notes {
		c.Event(h, n)
	}
	if !reflect.DeepEqual(before, &h.Status) {
		if err := c.UpdateStatus(h); err != nil && !client.IsNotFound(err) {
			c.Event(h, client.Note{Warning: true, Reason: "FailedUpdateStatus", Message: err.Error()})
			return controller.Result{}, err
		}
	}
	return controller.Result{RequeueAfter: untilNext(h.UID, r.now())}, nil
}

// round looks at an autoscaler once. Its error is one of reading what the server has.
func (r *reconciler) round(c client.Client, q controller.Request, a *autoscaler) error {
	target := client.ByKind(a.Spec.ScaleTargetRef.APIVersion, a.Spec.ScaleTargetRef.Kind)
	scale, err := getScale(c, target, a)
	if err != nil {
		a.unscaled(err)
		return nil
	}
	current := scale.Spec.Replicas
	p, measure := a.begin(scale)
	if measure {
		var ok bool
		if p, ok, err = r.measure(c, q, a); err != nil || !ok {
			return err
		}
	}
	if !p.rescale {
		a.finish(current, current)
		return nil
	}
	if err := setReplicas(c, target, client.Clone(scale), p.desired); err != nil {
		a.notRescaled(p, err)
		a.finish(current, a.Status.DesiredReplicas)
		return nil
	}
	a.rescaled(p)
	a.finish(current, p.desired)
	return nil
}

// measure plans by the metrics; without ok the round is over.
func (r *reconciler) measure(c client.Client, q controller.Request, a *autoscaler) (plan, bool, error) {
	current := a.scale.Spec.Replicas
	pods, ok, err := r.pods(c, q, a)
	if err != nil {
		return plan{}, false, err
	}
	if !ok {
		a.finish(current, a.Status.DesiredReplicas)
		return plan{}, false, nil
	}
	metrics := &reader{c: c, namespace: a.Namespace, selector: a.scale.Status.Selector, sources: &r.sources}
	readings := make([]reading, len(a.Spec.Metrics))
	for i := range readings {
		readings[i] = metrics.read(&a.Spec.Metrics[i])
	}
	p, ok, err := a.decide(pods, readings)
	if !ok {
		a.finish(current, a.Status.DesiredReplicas)
		if err != nil {
			a.note(true, "FailedComputeMetricsReplicas", err.Error())
		}
	}
	return p, ok, nil
}

// pods are those of the target, if they are its own to scale by.
func (r *reconciler) pods(c client.Client, q controller.Request, a *autoscaler) ([]*pod, bool, error) {
	text := a.scale.Status.Selector
	if text == "" {
		a.refuse("SelectorRequired", "InvalidSelector", "the HPA target's scale is missing a selector", "selector is required")
		a.note(true, "FailedComputeMetricsReplicas", "selector is required")
		return nil, false, nil
	}
	selector, err := metav1.ParseToLabelSelector(text)
	if err != nil {
		message := fmt.Sprintf("couldn't convert selector into a corresponding internal selector object: %v", err)
		a.refuse("InvalidSelector", "InvalidSelector", message, message)
		a.note(true, "FailedComputeMetricsReplicas", message)
		return nil, false, nil
	}
	a.history.selector = selector
	var pods []*pod
	if err := c.List(&pods, client.ListOptions{Namespace: a.Namespace, Labels: text}); err != nil {
		return nil, false, err
	}
	if sharing := r.memory.sharing(q.Namespace, pods); len(sharing) > 1 {
		var names []string
		for _, s := range sharing[:2] {
			names = append(names, fmt.Sprintf("{%s %s}", s.Name, s.Namespace))
		}
		message := fmt.Sprintf("pods by selector %s are controlled by more than one HPA (e.g. [%s])", text, strings.Join(names, " "))
		a.refuse("AmbiguousSelector", "AmbiguousSelector", message, message)
		a.note(true, "FailedComputeMetricsReplicas", message)
		return nil, false, nil
	}
	return pods, true, nil
}

// getScale reads the target's scale, with upstream's words for what has none.
func getScale(c client.Client, target string, a *autoscaler) (*autoscalingv1.Scale, error) {
	ref := a.Spec.ScaleTargetRef
	if strings.Count(ref.APIVersion, "/") > 1 {
		return nil, fmt.Errorf("unexpected GroupVersion string: %s", ref.APIVersion)
	}
	scale, err := c.GetScale(target, a.Namespace, ref.Name)
	if !client.IsUnsupported(err) {
		return scale, err
	}
	if _, unknown := c.ResourceOf(ref.APIVersion, ref.Kind); unknown != nil {
		group := ""
		if g, _, ok := strings.Cut(ref.APIVersion, "/"); ok {
			group = g
		}
		return nil, fmt.Errorf("no matches for kind %q in group %q", ref.Kind, group)
	}
	return nil, fmt.Errorf("the server could not find the requested resource (%s has no scale)", ref.Kind)
}

// setReplicas sets the replicas, also of a target that others change at the same time.
func setReplicas(c client.Client, target string, scale *autoscalingv1.Scale, replicas int32) error {
	for try := 1; ; try++ {
		scale.Spec.Replicas = replicas
		err := c.UpdateScale(target, scale)
		if !client.IsConflict(err) || try == conflicts {
			return err
		}
		newer, err := c.GetScale(target, scale.Namespace, scale.Name)
		if err != nil {
			return err
		}
		scale = newer
	}
}

// untilNext is the time to an autoscaler's next round. Rounds have a place in the period
// by the uid, so that thousands of autoscalers that were met at once are not looked at,
// and do not ask for metrics, at once.
func untilNext(uid string, now time.Time) time.Duration {
	f := fnv.New32a()
	_, _ = f.Write([]byte(uid))
	place := time.Duration(f.Sum32()) * time.Millisecond % period
	left := period - (time.Duration(now.UnixNano())-place)%period
	if left < time.Second { // it is this round, by a clock that runs a little ahead
		left += period
	}
	return left
}
