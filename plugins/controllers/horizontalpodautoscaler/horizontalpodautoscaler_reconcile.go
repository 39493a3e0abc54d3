package horizontalpodautoscaler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	autoscalingv1 "github.com/pintle-io/pintle/sdk/api/autoscaling/v1"
	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
)

// defaultTolerance is upstream's --horizontal-pod-autoscaler-tolerance.
const defaultTolerance = 0.1

// autoscaler is an autoscaler in one round: what is decided about it becomes its status
// and events. It knows neither client nor clock.
type autoscaler struct {
	*autoscalingv2.HorizontalPodAutoscaler
	history *history
	now     time.Time

	scale    *autoscalingv1.Scale
	statuses []autoscalingv2.MetricStatus
	notes    []client.Note
}

// plan is what a round comes to.
type plan struct {
	desired int32
	rescale bool
	why     string // of the rescale, for its event
}

// least is the least number of replicas; 1 when none is said, as the API fills in.
func (a *autoscaler) least() int32 {
	if a.Spec.MinReplicas != nil {
		return *a.Spec.MinReplicas
	}
	return 1
}

// begin takes in the scale and decides what needs no metrics: measure tells that they are
// needed.
func (a *autoscaler) begin(scale *autoscalingv1.Scale) (p plan, measure bool) {
	a.scale = scale
	a.set(autoscalingv2.AbleToScale, true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	current := scale.Spec.Replicas
	a.history.begin(current, a.now)
	switch {
	case current == 0:
		// KEP-2021: what the autoscaler brought to zero it also brings back; what a
		// user did stays.
		if a.broughtToZero() && (a.least() != 0 || a.measuresOthers()) {
			return plan{}, true
		}
		a.set(autoscalingv2.ScalingActive, false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		return plan{}, false
	case current > a.Spec.MaxReplicas:
		return plan{a.Spec.MaxReplicas, true, "Current number of replicas above Spec.MaxReplicas"}, false
	case current < a.least():
		return plan{a.least(), true, "Current number of replicas below Spec.MinReplicas"}, false
	}
	return plan{}, true
}

// broughtToZero tells that the autoscaler, and not a user, set the replicas to zero.
func (a *autoscaler) broughtToZero() bool {
	return slices.ContainsFunc(a.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return c.Type == autoscalingv2.ScaledToZero && c.Status == corev1.ConditionTrue
	})
}

// measuresOthers tells that there is a metric that needs no pod.
func (a *autoscaler) measuresOthers() bool {
	return slices.ContainsFunc(a.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool {
		return m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	})
}

// decide plans by the metrics, in the order of the spec. An error beside a plan is told,
// and the plan carried out: the other metrics ask for it. Without ok there is no plan.
func (a *autoscaler) decide(pods []*pod, readings []reading) (p plan, ok bool, err error) {
	current := a.scale.Spec.Replicas
	proposed, metric, ok, err := a.propose(pods, readings)
	if !ok {
		return p, false, err
	}
	p.desired = max(proposed, 0)
	switch {
	case p.desired > current:
		p.why = metric + " above target"
	case p.desired < current:
		p.why = "All metrics below target"
	}
	v := a.history.limit(bounds{current: current, least: a.least(), most: a.Spec.MaxReplicas, behavior: a.Spec.Behavior}, p.desired, a.now)
	a.set(autoscalingv2.AbleToScale, true, v.able.reason, v.able.message)
	a.set(autoscalingv2.ScalingLimited, v.limited, v.limits.reason, v.limits.message)
	p.desired = v.replicas
	if current == 0 && a.least() != 0 && p.desired < a.least() { // minReplicas was raised from zero
		p.desired = a.least()
		if p.why == "" {
			p.why = "Current number of replicas below Spec.MinReplicas"
		}
	}
	p.rescale = p.desired != current
	return p, true, err
}

// propose is the most that a metric asks for. While some cannot be read, the others may
// make more replicas, never fewer.
func (a *autoscaler) propose(pods []*pod, readings []reading) (replicas int32, metric string, ok bool, err error) {
	r := &round{namespace: a.Namespace, current: a.scale.Spec.Replicas, status: a.scale.Status.Replicas, pods: pods, within: a.tolerances(), now: a.now}
	a.statuses = make([]autoscalingv2.MetricStatus, len(a.Spec.Metrics))
	var first *failure
	bad := 0
	for i := range a.Spec.Metrics {
		p, f := r.propose(&a.Spec.Metrics[i], readings[i])
		if f != nil {
			a.note(true, f.reason, f.cause.Error())
			if first == nil {
				first = f
			}
			bad++
			continue
		}
		a.statuses[i] = p.status
		if replicas == 0 || p.replicas > replicas {
			replicas, metric = p.replicas, p.metric
		}
	}
	if first != nil {
		err = fmt.Errorf("invalid metrics (%d invalid out of %d), first error is: %w", bad, len(a.Spec.Metrics), first.err)
	}
	if bad >= len(a.Spec.Metrics) || bad > 0 && replicas < a.scale.Spec.Replicas {
		if first != nil {
			a.set(autoscalingv2.ScalingActive, false, first.reason, fmt.Sprintf("the HPA was unable to compute the replica count: %v", first.cause))
		}
		return 0, "", false, err
	}
	a.set(autoscalingv2.ScalingActive, true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from "+metric)
	return replicas, metric, true, err
}

// tolerances are those of the behavior (KEP-4951), or 10 %.
func (a *autoscaler) tolerances() tolerances {
	t := tolerances{defaultTolerance, defaultTolerance}
	if b := a.Spec.Behavior; b != nil {
		t.down, t.up = tolerance(b.ScaleDown), tolerance(b.ScaleUp)
	}
	return t
}

func tolerance(r *autoscalingv2.HPAScalingRules) float64 {
	if r == nil || r.Tolerance == nil {
		return defaultTolerance
	}
	return fraction(*r.Tolerance)
}

// fraction is a quantity as a number, finer than in thousandths.
func fraction(q resource.Quantity) float64 {
	for suffix, unit := range map[string]float64{"n": 1e9, "u": 1e6, "m": 1e3, "": 1} {
		if digits, ok := strings.CutSuffix(string(q), suffix); ok {
			if x, err := strconv.ParseFloat(digits, 64); err == nil {
				return x / unit
			}
		}
	}
	return float64(q.Value())
}

// unscaled notes that the target's scale could not be read.
func (a *autoscaler) unscaled(err error) {
	a.note(true, "FailedGetScale", err.Error())
	a.set(autoscalingv2.AbleToScale, false, "FailedGetScale", fmt.Sprintf("the HPA controller was unable to get the target's current scale: %v", err))
}

// refuse notes why the pods of the target cannot be told: metrics are not looked at.
func (a *autoscaler) refuse(event, reason, message, text string) {
	a.note(true, event, text)
	a.set(autoscalingv2.ScalingActive, false, reason, message)
	a.statuses = nil
}

// rescaled notes that the replicas were set.
func (a *autoscaler) rescaled(p plan) {
	current := a.scale.Spec.Replicas
	a.set(autoscalingv2.AbleToScale, true, "SucceededRescale", fmt.Sprintf("the HPA controller was able to update the target scale to %d", p.desired))
	a.note(false, "SuccessfulRescale", fmt.Sprintf("New size: %d; reason: %s", p.desired, p.why))
	a.history.scaled(a.Spec.Behavior, current, p.desired, a.now)
	if current > 0 && p.desired == 0 && a.least() == 0 && a.measuresOthers() {
		a.set(autoscalingv2.ScaledToZero, true, "ScaledToZero", "the HPA controller scaled the workload to zero")
	} else {
		a.set(autoscalingv2.ScaledToZero, false, "NotScaledToZero", "the HPA controller did not scale the workload to zero")
	}
	at := metav1.NewTime(a.now)
	a.Status.LastScaleTime = &at
}

// notRescaled notes that the replicas could not be set.
func (a *autoscaler) notRescaled(p plan, err error) {
	a.note(true, "FailedRescale", fmt.Sprintf("New size: %d; reason: %s; error: %v", p.desired, p.why, err))
	a.set(autoscalingv2.AbleToScale, false, "FailedUpdateScale", fmt.Sprintf("the HPA controller was unable to update the target scale: %v", err))
}

// finish writes down what there is and what is wanted.
func (a *autoscaler) finish(current, desired int32) {
	generation := a.Generation
	a.Status.ObservedGeneration = &generation
	a.Status.CurrentReplicas, a.Status.DesiredReplicas, a.Status.CurrentMetrics = current, desired, a.statuses
}

func (a *autoscaler) note(warning bool, reason, message string) {
	a.notes = append(a.notes, client.Note{Warning: warning, Reason: reason, Message: message})
}

// set sets a condition; its time is that of its last change.
func (a *autoscaler) set(t autoscalingv2.HorizontalPodAutoscalerConditionType, is bool, reason, message string) {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	i := slices.IndexFunc(a.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool { return c.Type == t })
	if i < 0 {
		a.Status.Conditions = append(a.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{Type: t})
		i = len(a.Status.Conditions) - 1
	}
	c := &a.Status.Conditions[i]
	if c.Status != status {
		c.LastTransitionTime = metav1.NewTime(a.now)
	}
	c.Status, c.Reason, c.Message = status, reason, message
}
