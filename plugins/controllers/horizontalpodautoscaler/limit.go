package horizontalpodautoscaler

import (
	"math"
	"time"

	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
)

// What limits an autoscaler without a behavior: upstream's defaults.
const (
	downscaleStabilization = 5 * time.Minute
	scaleUpFactor          = 2
	scaleUpMinimum         = 4
)

// verdict is what limits make of a recommendation, and how it is told.
type verdict struct {
	replicas int32
	able     reason // AbleToScale
	limits   reason // ScalingLimited
	limited  bool
}

// reason is a condition's reason and message.
type reason struct{ reason, message string }

var (
	readyForNewScale    = reason{"ReadyForNewScale", "recommended size matches current size"}
	scaleDownStabilized = reason{"ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation"}
	scaleUpStabilized   = reason{"ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation"}
	withinRange         = reason{"DesiredWithinRange", "the desired count is within the acceptable range"}
	scaleUpLimit        = reason{"ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"}
	scaleDownLimit      = reason{"ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"}
	tooMany             = reason{"TooManyReplicas", "the desired replica count is more than the maximum replica count"}
	tooFew              = reason{"TooFewReplicas", "the desired replica count is less than the minimum replica count"}
)

// bounds are what replicas are held within.
type bounds struct {
	current, least, most int32
	behavior             *autoscalingv2.HorizontalPodAutoscalerBehavior // nil: the rules from before there was one
}

// limit holds a recommendation to its stabilization windows and limits, and records it.
func (h *history) limit(b bounds, desired int32, now time.Time) verdict {
	var v verdict
	stable, why := h.stabilize(b, desired, now)
	v.able = readyForNewScale
	if stable != desired {
		v.able = why
	}
	if b.behavior == nil {
		v.replicas, v.limits = b.plain(stable)
	} else {
		v.replicas, v.limits = h.byRules(b, stable, now)
	}
	v.limited = v.replicas != stable
	return v
}

// stabilize chooses among what was recommended in the windows: the least of a scale-up's,
// the most of a scale-down's. It records what is recommended now.
func (h *history) stabilize(b bounds, desired int32, now time.Time) (int32, reason) {
	if b.behavior == nil {
		most := desired
		for _, r := range h.recommendations {
			if !r.at.Before(now.Add(-downscaleStabilization)) {
				most = max(most, r.replicas)
			}
		}
		h.recommend(desired, now, downscaleStabilization)
		return most, scaleDownStabilized
	}
	upWindow, downWindow := window(b.behavior.ScaleUp, 0), window(b.behavior.ScaleDown, downscaleStabilization)
	up, down := desired, desired
	for _, r := range h.recommendations {
		if r.at.After(now.Add(-upWindow)) {
			up = min(up, r.replicas)
		}
		if r.at.After(now.Add(-downWindow)) {
			down = max(down, r.replicas)
		}
	}
	h.recommend(desired, now, max(upWindow, downWindow))
	why := scaleDownStabilized
	if desired >= b.current {
		why = scaleUpStabilized
	}
	return min(max(b.current, up), down), why
}

func window(r *autoscalingv2.HPAScalingRules, unset time.Duration) time.Duration {
	if r == nil || r.StabilizationWindowSeconds == nil {
		return unset
	}
	return time.Duration(*r.StabilizationWindowSeconds) * time.Second
}

// plain limits by the bounds, and growth to twice as many at once.
func (b bounds) plain(desired int32) (int32, reason) {
	most, why := b.most, tooMany
	if limit := saturate(max(scaleUpFactor*float64(b.current), scaleUpMinimum)); b.most > limit {
		most, why = limit, scaleUpLimit
	}
	switch {
	case desired < b.least:
		return b.least, tooFew
	case desired > most:
		return most, why
	}
	return desired, withinRange
}

// byRules limits by the bounds and the policies of a behavior.
func (h *history) byRules(b bounds, desired int32, now time.Time) (int32, reason) {
	switch {
	case desired > b.current:
		most, why := b.most, tooMany
		if limit := max(h.rate(b.behavior.ScaleUp, b.current, 1, now), b.current); b.most > limit {
			most, why = limit, scaleUpLimit
		}
		if desired > most {
			return most, why
		}
	case desired < b.current:
		least, why := b.least, tooFew
		if limit := min(h.rate(b.behavior.ScaleDown, b.current, -1, now), b.current); b.least < limit {
			least, why = limit, scaleDownLimit
		}
		if desired < least {
			return least, why
		}
	}
	return desired, withinRange
}

// rate is how far replicas may go in a direction (1 up, -1 down): by the policy that
// allows most, or least, from what there were when its period began.
func (h *history) rate(r *autoscalingv2.HPAScalingRules, current int32, direction int32, now time.Time) int32 {
	choose := autoscalingv2.MaxChangePolicySelect
	if r == nil { // the API fills in both; nothing limits what nobody wrote
		return saturate(float64(direction) * math.MaxInt32)
	}
	if r.SelectPolicy != nil {
		choose = *r.SelectPolicy
	}
	if choose == autoscalingv2.DisabledPolicySelect {
		return current
	}
	farthest := (choose != autoscalingv2.MinChangePolicySelect) == (direction > 0) // the higher number is meant
	out := float64(math.MaxInt32)
	if farthest {
		out = math.MinInt32
	}
	for i := range r.Policies {
		p := &r.Policies[i]
		period := time.Duration(p.PeriodSeconds) * time.Second
		began := float64(current) - float64(since(h.ups, now.Add(-period))) + float64(since(h.downs, now.Add(-period)))
		next := began + float64(direction)*float64(p.Value)
		if p.Type == autoscalingv2.PercentScalingPolicy {
			next = began * (1 + float64(direction)*float64(p.Value)/100)
			if direction > 0 {
				next = math.Ceil(next) // or one replica would never become two
			} else {
				next = math.Trunc(next)
			}
		}
		if farthest {
			out = max(out, next)
		} else {
			out = min(out, next)
		}
	}
	return saturate(out)
}

func since(list []scaling, cutoff time.Time) (n int64) {
	for _, s := range list {
		if s.at.After(cutoff) {
			n += int64(s.by)
		}
	}
	return n
}
