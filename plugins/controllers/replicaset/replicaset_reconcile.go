package replicaset

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// errMore asks for another round: the batch was not enough.
var errMore = errors.New("more pods to create or delete")

// sort tells the active pods of the ReplicaSet from those that it may adopt.
func sort(rs *appsv1.ReplicaSet, all []*corev1.Pod) (mine, orphans []*corev1.Pod) {
	for _, p := range all {
		if !p.Active() {
			continue
		}
		switch owner := metav1.ControllerOf(p); {
		case owner == nil:
			orphans = append(orphans, p)
		case owner.UID == rs.UID:
			mine = append(mine, p)
		}
	}
	return mine, orphans
}

// newPod is a pod of the template, owned by the ReplicaSet.
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
// deletion cost before high, more siblings on its node before fewer, ready for
// a shorter time before longer, more restarts before fewer, younger before
// older.
func choose(pods []*corev1.Pod, n int) []*corev1.Pod {
	siblings := map[string]int{}
	for _, p := range pods {
		siblings[p.Spec.NodeName]++
	}
	order := slices.Clone(pods)
	slices.SortStableFunc(order, func(a, b *corev1.Pod) int {
		return cmp.Or(
			first(a.Spec.NodeName == "", b.Spec.NodeName == ""),
			cmp.Compare(phaseRank(a), phaseRank(b)),
			first(!a.Ready(), !b.Ready()),
			cmp.Compare(cost(a), cost(b)),
			cmp.Compare(siblings[b.Spec.NodeName], siblings[a.Spec.NodeName]),
			readySince(b).Compare(readySince(a)),
			cmp.Compare(restarts(b), restarts(a)),
			b.CreationTimestamp.Time().Compare(a.CreationTimestamp.Time()),
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

func phaseRank(p *corev1.Pod) int {
	switch p.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	}
	return 0
}

func cost(p *corev1.Pod) int {
	c, err := strconv.Atoi(p.Annotations[deletionCost])
	if err != nil {
		return 0
	}
	return c
}

func readySince(p *corev1.Pod) time.Time {
	if c := p.Condition(corev1.PodReady); c != nil && p.Ready() {
		return c.LastTransitionTime.Time()
	}
	return time.Time{}
}

func restarts(p *corev1.Pod) int32 {
	var most int32
	for _, s := range p.Status.ContainerStatuses {
		most = max(most, s.RestartCount)
	}
	return most
}

// summarize counts the pods. wait is when a ready pod becomes available; 0
// when none is on the way.
func summarize(rs *appsv1.ReplicaSet, pods []*corev1.Pod, scaleErr error, now time.Time) (s appsv1.ReplicaSetStatus, wait time.Duration) {
	s = appsv1.ReplicaSetStatus{Replicas: int32(len(pods)), ObservedGeneration: rs.Generation, Conditions: failure(rs, scaleErr, now)}
	minReady := time.Duration(rs.Spec.MinReadySeconds) * time.Second
	for _, p := range pods {
		if labelled(p.Labels, rs.Spec.Template.Labels) {
			s.FullyLabeledReplicas++
		}
		if !p.Ready() {
			continue
		}
		s.ReadyReplicas++
		if d := p.AvailableIn(minReady, now); d == 0 {
			s.AvailableReplicas++
		} else if wait == 0 || d < wait {
			wait = d
		}
	}
	return s, wait
}

func labelled(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// failure keeps what others wrote and sets ReplicaFailure when pods could
// not be made or removed.
func failure(rs *appsv1.ReplicaSet, scaleErr error, now time.Time) []appsv1.ReplicaSetCondition {
	var out []appsv1.ReplicaSetCondition
	var old *appsv1.ReplicaSetCondition
	for i, c := range rs.Status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure {
			old = &rs.Status.Conditions[i]
		} else {
			out = append(out, c)
		}
	}
	if scaleErr == nil || errors.Is(scaleErr, errMore) {
		return out
	}
	if old != nil && old.Message == scaleErr.Error() {
		return append(out, *old)
	}
	reason := "FailedCreate"
	if int32(len(rs.Status.Conditions)) > 0 && rs.Status.Replicas > *rs.Spec.Replicas {
		reason = "FailedDelete"
	}
	return append(out, appsv1.ReplicaSetCondition{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(now), Reason: reason, Message: scaleErr.Error()})
}

func sameStatus(a, b appsv1.ReplicaSetStatus) bool {
	a.TerminatingReplicas = b.TerminatingReplicas
	return len(a.Conditions) == 0 && len(b.Conditions) == 0 && equalCounts(a, b) || reflect.DeepEqual(a, b)
}

func equalCounts(a, b appsv1.ReplicaSetStatus) bool {
	return a.Replicas == b.Replicas && a.FullyLabeledReplicas == b.FullyLabeledReplicas && a.ReadyReplicas == b.ReadyReplicas &&
		a.AvailableReplicas == b.AvailableReplicas && a.ObservedGeneration == b.ObservedGeneration
}
