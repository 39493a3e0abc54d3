package nodelifecycle

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// sinceAnnotation holds, on a node, since when the control plane has seen each
// NoExecute taint that does not say so itself, as JSON. The time that a pod
// tolerates a taint counts on over a restart of the controller. It is not
// written into the taint: the list of taints belongs to whoever applied it.
const sinceAnnotation = "pintle.dev/taints-since"

// sinceOf answers since when each of the taints has been there, and what
// sinceAnnotation should hold, "" for nothing.
// RATIONALE.md: "Why does the time of a taint stand in an annotation?"
func sinceOf(node *nodeState, taints []corev1.Taint, now time.Time) (since []time.Time, annotation string) {
	var known, keep map[string]metav1.Time
	// What cannot be read is as if it were not there: all begins anew.
	_ = json.Unmarshal([]byte(node.Annotations[sinceAnnotation]), &known)
	keep = map[string]metav1.Time{}
	for _, t := range taints {
		if t.TimeAdded != nil {
			since = append(since, t.TimeAdded.Time())
			continue
		}
		id := t.Key + "=" + t.Value
		at := known[id].Time()
		if at.IsZero() || at.After(now) {
			at = now
		}
		keep[id] = metav1.NewTime(at)
		since = append(since, at)
	}
	if len(keep) == 0 {
		return since, ""
	}
	b, _ := json.Marshal(keep) // a map of strings always can be
	return since, string(b)
}

// evict deletes the pods that do not tolerate the node's NoExecute taints, or
// no longer, and answers when the next one is due. The taints of the node's
// health count from healthSince at the earliest.
func (k *keeper) evict(c client.Client, node *nodeState, healthSince, now time.Time) (time.Duration, error) {
	noExecute := noExecuteTaints(node)
	since, annotation := sinceOf(node, noExecute, now)
	if err := annotate(c, node, annotation); err != nil {
		return 0, err
	}
	noExecute, since, next := begun(noExecute, since, healthSince, now)
	if len(noExecute) == 0 {
		k.await(c, node.Name, nil, nil)
		return next, nil
	}
	pods, err := podsOn(c, node.Name)
	if err != nil {
		return 0, err
	}
	var due []*corev1.Pod
	later := pending{}
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			continue
		}
		switch left, stays := tolerated(p, noExecute, since, now); {
		case stays:
		case left <= 0:
			due = append(due, p)
		default:
			later.add(p)
			if next == 0 || left < next {
				next = left
			}
		}
	}
	k.await(c, node.Name, later, due)
	marked, err := disrupt(c, due, func(p *corev1.Pod) {
		disruption(p, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now)
	})
	for _, p := range marked {
		c.Event(p, client.Note{Reason: "TaintManagerEviction", Message: fmt.Sprintf("Marking for deletion Pod %s/%s", p.Namespace, p.Name)})
	}
	return next, err
}

// begun leaves the taints that count already, from when they do, and answers in
// which time the others begin to; 0 when there are none.
func begun(taints []corev1.Taint, since []time.Time, healthSince, now time.Time) (_ []corev1.Taint, _ []time.Time, next time.Duration) {
	var counting []corev1.Taint
	var from []time.Time
	for i, t := range taints {
		at := since[i]
		if t.Key == taintNotReady || t.Key == taintUnreachable {
			if next = healthSince.Sub(now); next > 0 {
				continue
			}
			if at.Before(healthSince) {
				at = healthSince
			}
		}
		counting, from = append(counting, t), append(from, at)
	}
	return counting, from, max(next, 0)
}

// annotate writes sinceAnnotation when it differs.
func annotate(c client.Client, node *nodeState, value string) error {
	if node.Annotations[sinceAnnotation] == value {
		return nil
	}
	var v any
	if value != "" {
		v = value
	}
	patch := map[string]any{"metadata": map[string]any{"resourceVersion": node.ResourceVersion, "annotations": map[string]any{sinceAnnotation: v}}}
	if err := c.Patch(node, client.Patch{Data: patch}); err != nil {
		return fmt.Errorf("annotate node %s: %w", node.Name, err)
	}
	return nil
}

func hasNoExecute(node *nodeState, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key && t.Effect == corev1.TaintEffectNoExecute })
}

func noExecuteTaints(node *nodeState) []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectNoExecute })
}

// tolerated tells whether a pod stays for good; otherwise how long it stays.
// The shortest toleration of the taints counts, from when its taint appeared
// or the pod was bound, whichever came later.
func tolerated(p *corev1.Pod, taints []corev1.Taint, since []time.Time, now time.Time) (left time.Duration, stays bool) {
	stays = true
	came := boundAt(p)
	for i, t := range taints {
		seconds, forever, ok := toleration(p, t)
		if !ok {
			return 0, false
		}
		if forever {
			continue
		}
		from := since[i]
		if came.After(from) {
			from = came
		}
		if l := from.Add(time.Duration(seconds) * time.Second).Sub(now); stays || l < left {
			left = l
		}
		stays = false
	}
	return left, stays
}

// boundAt is when a pod came to its node.
func boundAt(p *corev1.Pod) time.Time {
	at := p.CreationTimestamp.Time()
	if c := p.Condition(corev1.PodScheduled); c != nil && c.Status == corev1.ConditionTrue && c.LastTransitionTime.Time().After(at) {
		return c.LastTransitionTime.Time()
	}
	return at
}

// toleration finds how long a pod tolerates one taint: as long as the first
// toleration that matches says, as upstream.
func toleration(p *corev1.Pod, t corev1.Taint) (seconds int64, forever, ok bool) {
	for _, tol := range p.Spec.Tolerations {
		switch {
		case !matches(tol, t):
		case tol.TolerationSeconds == nil:
			return 0, true, true
		default:
			return max(*tol.TolerationSeconds, 0), false, true
		}
	}
	return 0, false, false
}

func matches(tol corev1.Toleration, t corev1.Taint) bool {
	if tol.Effect != "" && tol.Effect != t.Effect {
		return false
	}
	if tol.Key == "" {
		return tol.Operator == corev1.TolerationOpExists
	}
	if tol.Key != t.Key {
		return false
	}
	switch tol.Operator {
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpEqual, "":
		return tol.Value == t.Value
	}
	return false
}
