package replicaset

import (
	"cmp"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// owned are the pods of a ReplicaSet.
type owned struct {
	active      []*pod
	terminating int // being deleted, and not finished
}

// sort takes apart the pods that name the ReplicaSet as owner: those that are
// its own, and those astray, whose labels match no longer.
func sort(rs *appsv1.ReplicaSet, all []*pod) (own owned, astray []*pod) {
	for _, p := range all {
		switch {
		case p.finished() || !metav1.IsControlledBy(p, rs):
		case !rs.Spec.Selector.Matches(p.Labels):
			if p.DeletionTimestamp == nil {
				astray = append(astray, p)
			}
		case p.DeletionTimestamp != nil:
			own.terminating++
		default:
			own.active = append(own.active, p)
		}
	}
	return own, astray
}

// newPod is a pod of the template, owned by the ReplicaSet. It shares the
// template's parts.
func newPod(rs *appsv1.ReplicaSet) *corev1.Pod {
	t := rs.Spec.Template
	p := &corev1.Pod{Spec: t.Spec}
	p.Namespace = rs.Namespace
	p.GenerateName = prefix(rs.Name)
	p.Labels, p.Annotations, p.Finalizers = t.Labels, t.Annotations, t.Finalizers
	p.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(rs, "apps/v1", kind)}
	return p
}

// prefix leaves room for the generated suffix in a name of 63 characters.
func prefix(name string) string {
	const room = 63 - 5 - 1
	return name[:min(len(name), room)] + "-"
}

const deletionCost = "controller.kubernetes.io/pod-deletion-cost"

// choose picks the n pods to delete first, in upstream's order: unassigned
// before assigned, pending before running, not ready before ready, low
// deletion cost before high, crowded nodes before others, ready for a shorter
// time before longer, more restarts before fewer, younger before older. Times
// count by their magnitude, so that among pods of about one age chance (the
// uid) decides.
func choose(pods []*pod, crowd map[string]int, n int, now time.Time) []*pod {
	order := slices.Clone(pods)
	slices.SortStableFunc(order, func(a, b *pod) int {
		readyA, okA := a.readySince()
		readyB, okB := b.readySince()
		return cmp.Or(
			first(a.Spec.NodeName == "", b.Spec.NodeName == ""),
			cmp.Compare(phaseRank(a), phaseRank(b)),
			first(!okA, !okB),
			cmp.Compare(cost(a), cost(b)),
			cmp.Compare(crowd[b.Spec.NodeName], crowd[a.Spec.NodeName]),
			younger(okA && okB, readyA, readyB, a, b, now),
			cmp.Compare(b.restarts(), a.restarts()),
			younger(true, a.CreationTimestamp.Time(), b.CreationTimestamp.Time(), a, b, now),
		)
	})
	return order[:n]
}

// first puts what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// younger puts the later of two times first; no time counts as the latest.
// Times of one magnitude of age leave it to the uids.
func younger(both bool, a, b time.Time, p, q *pod, now time.Time) int {
	switch {
	case !both || a.Equal(b):
		return 0
	case a.IsZero() || b.IsZero():
		return first(a.IsZero(), b.IsZero())
	}
	return cmp.Or(cmp.Compare(magnitude(now.Sub(a)), magnitude(now.Sub(b))), cmp.Compare(p.UID, q.UID))
}

func magnitude(age time.Duration) int {
	if age <= 0 {
		return -1
	}
	return int(math.Log2(float64(age)))
}

func phaseRank(p *pod) int {
	switch p.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	}
	return 0
}

func cost(p *pod) int {
	c, err := strconv.ParseInt(p.Annotations[deletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int(c)
}

// summarize counts the pods. wait is when a ready pod becomes available; 0
// when none is on the way.
func summarize(rs *appsv1.ReplicaSet, pods owned, scaleErr error, now time.Time) (s appsv1.ReplicaSetStatus, wait time.Duration) {
	terminating := int32(pods.terminating)
	s = appsv1.ReplicaSetStatus{Replicas: int32(len(pods.active)), TerminatingReplicas: &terminating, ObservedGeneration: rs.Generation,
		Conditions: failure(rs, len(pods.active), scaleErr, now)}
	sel := rs.Spec.Selector
	// Mostly what selects is what labels, and all pods are known to match it.
	matched := sel != nil && len(sel.MatchExpressions) == 0 && maps.Equal(sel.MatchLabels, rs.Spec.Template.Labels)
	minReady := time.Duration(rs.Spec.MinReadySeconds) * time.Second
	for _, p := range pods.active {
		if matched || labelled(p.Labels, rs.Spec.Template.Labels) {
			s.FullyLabeledReplicas++
		}
		if _, ok := p.readySince(); !ok {
			continue
		}
		s.ReadyReplicas++
		if d := p.availableIn(minReady, now); d == 0 {
			s.AvailableReplicas++
		} else if wait == 0 || d < wait {
			wait = d
		}
	}
	return s, wait
}

func labelled(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// failure keeps what others wrote and sets ReplicaFailure while pods cannot be
// made or removed. One that is there stays as it is: messages that name
// generated pods differ each time, and each change would wake the controller
// before its back-off is over.
func failure(rs *appsv1.ReplicaSet, pods int, scaleErr error, now time.Time) []appsv1.ReplicaSetCondition {
	var out []appsv1.ReplicaSetCondition
	failing := false
	for _, c := range rs.Status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure {
			if scaleErr == nil {
				continue
			}
			failing = true
		}
		out = append(out, c)
	}
	if scaleErr == nil || failing {
		return out
	}
	reason := "FailedCreate"
	if pods > int(*rs.Spec.Replicas) {
		reason = "FailedDelete"
	}
	return append(out, appsv1.ReplicaSetCondition{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(now), Reason: reason, Message: scaleErr.Error()})
}

func sameStatus(a, b appsv1.ReplicaSetStatus) bool {
	if len(a.Conditions) == 0 && len(b.Conditions) == 0 {
		a.Conditions, b.Conditions = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
