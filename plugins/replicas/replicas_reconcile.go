package replicas

import (
	"maps"
	"reflect"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// owned are the pods of a set.
type owned struct {
	active      []*pod
	terminating int // being deleted, and not finished
}

// sort takes apart the pods that name the set as owner: those that are
// its own, and those astray, whose labels match no longer.
func sort(s *Set, all []*pod) (own owned, astray []*pod) {
	for _, p := range all {
		switch {
		case p.finished() || !metav1.IsControlledBy(p, s):
		case !s.Selector.Matches(p.Labels):
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

// newPod is a pod of the template, owned by the set. It shares the template's
// parts. A long name is cut by the API, which leaves room for what it appends.
func (k *Kind) newPod(s *Set) *corev1.Pod {
	t := s.Template
	p := &corev1.Pod{Spec: t.Spec}
	p.Namespace = s.Namespace
	p.GenerateName = s.Name + "-"
	p.Labels, p.Annotations, p.Finalizers = t.Labels, t.Annotations, t.Finalizers
	p.OwnerReferences = []metav1.OwnerReference{k.ownedBy(s)}
	return p
}

// summarize counts the pods. wait is when a ready pod becomes available; 0
// when none is on the way.
func (k *Kind) summarize(s *Set, pods owned, scaleErr error, now time.Time) (out Status, wait time.Duration) {
	out = Status{Replicas: int32(len(pods.active)), ObservedGeneration: s.Generation, Conditions: failure(s, len(pods.active), scaleErr, now)}
	if k.CountsTerminating {
		terminating := int32(pods.terminating)
		out.TerminatingReplicas = &terminating
	}
	// Mostly what selects is what labels, and all pods are known to match it.
	matched := s.Selector != nil && len(s.Selector.MatchExpressions) == 0 && maps.Equal(s.Selector.MatchLabels, s.Template.Labels)
	for _, p := range pods.active {
		if matched || labelled(p.Labels, s.Template.Labels) {
			out.FullyLabeledReplicas++
		}
		if _, ok := p.readySince(); !ok {
			continue
		}
		out.ReadyReplicas++
		if d := p.availableIn(s.MinReady, now); d == 0 {
			out.AvailableReplicas++
		} else if wait == 0 || d < wait {
			wait = d
		}
	}
	return out, wait
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
func failure(s *Set, pods int, scaleErr error, now time.Time) []appsv1.ReplicaSetCondition {
	var out []appsv1.ReplicaSetCondition
	failing := false
	for _, c := range s.Status.Conditions {
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
	if pods > s.Replicas {
		reason = "FailedDelete"
	}
	return append(out, appsv1.ReplicaSetCondition{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(now), Reason: reason, Message: scaleErr.Error()})
}

func sameStatus(a, b Status) bool {
	if len(a.Conditions) == 0 && len(b.Conditions) == 0 {
		a.Conditions, b.Conditions = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
