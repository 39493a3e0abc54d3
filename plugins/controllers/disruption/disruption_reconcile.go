package disruption

import (
	"maps"
	"math"
	"reflect"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	policyv1 "github.com/pintle-io/pintle/sdk/api/policy/v1"
)

// deletionTimeout is how long a pod that an eviction has announced may take to be seen
// as being deleted; after that it is taken for one that stays. Upstream's DeletionTimeout.
const deletionTimeout = 2 * time.Minute

// byScale tells whether the pods that a budget expects are those that their owners want;
// otherwise they are those that there are.
func byScale(s *policyv1.PodDisruptionBudgetSpec) bool {
	return s.MaxUnavailable != nil || s.MinAvailable != nil && s.MinAvailable.IsString
}

// desiredHealthy is how many healthy pods a budget needs, of those that it expects.
// Percentages are rounded up: of what must be there, and of what may be missing.
//
// # Errors
//   - a string that is not a percentage
func desiredHealthy(s *policyv1.PodDisruptionBudgetSpec, expected int64) (int32, error) {
	switch {
	case s.MaxUnavailable != nil:
		missing, err := s.MaxUnavailable.Scaled(int(expected), true)
		return clamp(max(expected-int64(missing), 0)), err
	case s.MinAvailable != nil:
		needed, err := s.MinAvailable.Scaled(int(expected), true)
		return clamp(int64(needed)), err
	}
	return 0, nil
}

func clamp(n int64) int32 { return int32(max(min(n, math.MaxInt32), math.MinInt32)) }

// announced is what became of the pods that evictions have announced.
type announced struct {
	pods    map[string]metav1.Time // those that are yet to be seen as being deleted
	overdue []*pod                 // those that were expected to be, and are not
	recheck time.Duration          // when the next of pods is overdue; 0: there is none
}

// disrupted goes through what evictions have written in a budget's status. Who is gone,
// or being deleted, need not be noted any more.
func disrupted(noted map[string]metav1.Time, pods []*pod, now time.Time) announced {
	var out announced
	if len(noted) == 0 {
		return out
	}
	for _, p := range pods {
		at, ok := noted[p.Metadata.Name]
		if !ok || p.Metadata.Deleted != nil {
			continue
		}
		left := at.Time().Add(deletionTimeout).Sub(now)
		if left < 0 {
			out.overdue = append(out.overdue, p)
			continue
		}
		if out.pods == nil {
			out.pods = map[string]metav1.Time{}
		}
		out.pods[p.Metadata.Name] = at
		left = max(left, time.Millisecond)
		if out.recheck == 0 || left < out.recheck {
			out.recheck = left
		}
	}
	if out.recheck > 0 {
		out.recheck += time.Second // times are of whole seconds, and it must be over
	}
	return out
}

// healthy counts the pods that are ready and stay.
func healthy(pods []*pod, disrupted map[string]metav1.Time) int32 {
	n := int32(0)
	for _, p := range pods {
		if _, goes := disrupted[p.Metadata.Name]; !goes && p.Metadata.Deleted == nil && p.ready() {
			n++
		}
	}
	return n
}

// count is what was counted for a budget.
type count struct {
	expected, desired, healthy int32
	disrupted                  map[string]metav1.Time
}

// counted is the status of a budget by a count.
func counted(b *policyv1.PodDisruptionBudget, n count, now time.Time) policyv1.PodDisruptionBudgetStatus {
	s := policyv1.PodDisruptionBudgetStatus{
		ObservedGeneration: b.Generation, DisruptedPods: n.disrupted,
		CurrentHealthy: n.healthy, DesiredHealthy: n.desired, ExpectedPods: n.expected,
	}
	// A budget without pods allows nothing: its first ones are not gone again before
	// they are counted.
	if n.expected > 0 {
		s.DisruptionsAllowed = clamp(max(int64(n.healthy)-int64(n.desired), 0))
	}
	c := metav1.Condition{Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason, ObservedGeneration: b.Generation}
	if s.DisruptionsAllowed > 0 {
		c.Status, c.Reason = metav1.ConditionTrue, policyv1.SufficientPodsReason
	}
	s.Conditions = with(b.Status.Conditions, c, now)
	return s
}

// failed is the status of a budget that could not be counted: it allows nothing.
func failed(s policyv1.PodDisruptionBudgetStatus, err error, now time.Time) policyv1.PodDisruptionBudgetStatus {
	s.DisruptionsAllowed = 0
	s.Conditions = with(s.Conditions, metav1.Condition{Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason,
		Message: err.Error(), ObservedGeneration: s.ObservedGeneration}, now)
	return s
}

// with is a list of conditions with DisruptionAllowed as given, which keeps its time
// while it keeps its status. list is not changed.
func with(list []metav1.Condition, c metav1.Condition, now time.Time) []metav1.Condition {
	c.Type, c.LastTransitionTime = policyv1.DisruptionAllowedCondition, metav1.NewTime(now)
	out := make([]metav1.Condition, 0, len(list)+1)
	found := false
	for _, old := range list {
		if old.Type == c.Type {
			if found = true; old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			old = c
		}
		out = append(out, old)
	}
	if !found {
		out = append(out, c)
	}
	return out
}

// same tells that a status need not be written.
func same(a, b policyv1.PodDisruptionBudgetStatus) bool {
	return a.ObservedGeneration == b.ObservedGeneration && a.DisruptionsAllowed == b.DisruptionsAllowed && a.CurrentHealthy == b.CurrentHealthy &&
		a.DesiredHealthy == b.DesiredHealthy && a.ExpectedPods == b.ExpectedPods && maps.Equal(a.DisruptedPods, b.DisruptedPods) &&
		reflect.DeepEqual(a.Conditions, b.Conditions)
}

// disruptionTarget is the condition of a pod that is going to be deleted.
const disruptionTarget = string(corev1.DisruptionTarget)

// staleAfter is how long a pod that does not go may say that it does. Upstream's
// stalePodDisruptionTimeout.
const staleAfter = 2 * time.Minute

// stale tells whether a pod says that it is going to be deleted, and is not, and how long
// it may say so yet; 0: no longer. What its node said is never stale: it may take as long
// as it likes to end a pod. Nor is it of a pod that has ended.
func stale(p *marked, now time.Time) (left time.Duration, is bool) {
	c := p.target()
	if p.DeletionTimestamp != nil || c == nil || c.Status != corev1.ConditionTrue || c.Reason == corev1.PodReasonTerminationByKubelet ||
		p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return 0, false
	}
	return max(c.LastTransitionTime.Time().Add(staleAfter).Sub(now), 0), true
}
