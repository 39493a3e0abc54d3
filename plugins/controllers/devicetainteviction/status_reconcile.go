package devicetainteviction

import (
	"fmt"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

const inProgress = "EvictionInProgress"

// statusPeriod is the shortest time between updates of a rule's status while pods go.
const statusPeriod = 10 * time.Second

// counts are what the status of a rule tells.
type counts struct {
	pods, namespaces int   // that are to be evicted, or would be
	published        int   // devices of slices that the rule selects
	allocated        int   // devices of claims
	evicted          int64 // pods, since the controller started
}

// conditionOf finds the rule's condition; nil if it has none.
func (r *rule) conditionOf() *condition {
	for i := range r.Status.Conditions {
		if r.Status.Conditions[i].Type == inProgress {
			return &r.Status.Conditions[i]
		}
	}
	return nil
}

// statusDue is in which time the status may be written; of a rule that has changed, at once.
func statusDue(r *rule, now time.Time) time.Duration {
	c := r.conditionOf()
	if c == nil || c.ObservedGeneration != r.Generation {
		return 0
	}
	return max(c.LastTransitionTime.Time().Add(statusPeriod).Sub(now), 0)
}

// conditionFor is the condition of a rule, in upstream's words.
func conditionFor(r *rule, n counts) condition {
	c := condition{Type: inProgress, Status: "False", Reason: "OtherEffect", ObservedGeneration: r.Generation}
	switch r.Spec.Taint.Effect {
	case noExecute:
		switch {
		case n.pods > 0:
			c.Status, c.Reason = "True", "PodsPendingEviction"
			c.Message = plural(n.pods, "pod needs", "pods need") + " to be evicted in " + plural(n.namespaces, "namespace", "different namespaces") + "."
		case n.evicted > 0:
			c.Reason = "Completed"
		default:
			c.Reason = "NotStarted"
		}
	case none:
		c.Reason = "NoEffect"
		c.Message = plural(n.published, "published device", "published devices") + " selected. " +
			plural(n.allocated, "allocated device", "allocated devices") + " selected. " +
			plural(n.pods, "pod", "pods") + " would be evicted in " + plural(n.namespaces, "namespace", "different namespaces") +
			" if the effect was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."
	default:
		c.Message = "Eviction only happens for the NoExecute effect."
	}
	if n.evicted > 0 {
		if c.Message != "" {
			c.Message += " "
		}
		c.Message += plural(int(n.evicted), "pod", "pods") + " evicted since starting the controller."
	}
	return c
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// statusPatch is the patch that gives the rule, as it was read, the condition; nil when it
// has it. Its time is that of the last change of anything in it.
func statusPatch(r *rule, c condition, now time.Time) map[string]any {
	c.LastTransitionTime = metav1.NewTime(now)
	var list []condition
	for _, old := range r.Status.Conditions {
		if old.Type != c.Type {
			list = append(list, old)
			continue
		}
		old.LastTransitionTime = c.LastTransitionTime
		if old == c {
			return nil
		}
	}
	return map[string]any{"metadata": map[string]any{"uid": r.UID, "resourceVersion": r.ResourceVersion},
		"status": map[string]any{"conditions": append(list, c)}}
}
