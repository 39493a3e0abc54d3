package deployment

import (
	"fmt"
	"math"
	"reflect"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// status computes the Deployment's status and, while it progresses under a
// deadline, how long until that passes.
func (r *round) status(created *appsv1.ReplicaSet, now time.Time) (appsv1.DeploymentStatus, time.Duration) {
	s := counts(r, created, now)
	if !r.d.Spec.Paused {
		r.setFailure(&s, now)
	}
	return s, r.setProgress(&s, created, now)
}

// counts is the status as far as it sums up those of the sets.
func counts(r *round, created *appsv1.ReplicaSet, now time.Time) appsv1.DeploymentStatus {
	d := r.d
	s := appsv1.DeploymentStatus{ObservedGeneration: d.Generation, CollisionCount: d.Status.CollisionCount,
		Conditions: append([]appsv1.DeploymentCondition(nil), d.Status.Conditions...), TerminatingReplicas: terminating(allOf(r))}
	for _, rs := range allOf(r) {
		s.Replicas += rs.Status.Replicas
		s.ReadyReplicas += rs.Status.ReadyReplicas
		s.AvailableReplicas += rs.Status.AvailableReplicas
	}
	if r.current != nil {
		s.UpdatedReplicas = r.current.Status.Replicas
	}
	total := r.total()
	if created != nil {
		total += *created.Spec.Replicas
	}
	s.UnavailableReplicas = max(total-s.AvailableReplicas, 0)
	setAvailable(&s, r.replicas-r.unavail, now)
	return s
}

// terminating counts the pods that are being deleted (KEP-3973); nil when a set that
// was looked at does not say.
func terminating(sets []*appsv1.ReplicaSet) *int32 {
	sum := int32(0)
	for _, rs := range sets {
		switch n := rs.Status.TerminatingReplicas; {
		case n != nil:
			sum += *n
		case rs.Status.ObservedGeneration > 0:
			return nil
		}
	}
	return &sum
}

func setAvailable(s *appsv1.DeploymentStatus, least int32, now time.Time) {
	if s.AvailableReplicas >= least {
		set(s, appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
		return
	}
	set(s, appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now)
}

// setFailure repeats what the ReplicaSets say of pods that cannot be made.
func (r *round) setFailure(s *appsv1.DeploymentStatus, now time.Time) {
	for _, rs := range allOf(r) {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				set(s, appsv1.DeploymentReplicaFailure, c.Status, c.Reason, c.Message, now)
				return
			}
		}
	}
	unset(s, appsv1.DeploymentReplicaFailure)
}

// setProgress keeps the Progressing condition, upstream's reasons included:
// `kubectl rollout status` reads them. It answers when to look again.
func (r *round) setProgress(s *appsv1.DeploymentStatus, created *appsv1.ReplicaSet, now time.Time) time.Duration {
	d := r.d
	name := subject(d, r.current, created)
	old := find(d.Status.Conditions, appsv1.DeploymentProgressing)
	switch {
	case !hasDeadline(d):
		if !d.Spec.Paused {
			unset(s, appsv1.DeploymentProgressing)
		}
		return 0
	case d.Spec.Paused:
		if old == nil || old.Reason != timedOut { // that is not to be forgotten
			set(s, appsv1.DeploymentProgressing, corev1.ConditionUnknown, "DeploymentPaused", "Deployment is paused", now)
		}
		return 0
	case old != nil && old.Reason == "DeploymentPaused":
		set(s, appsv1.DeploymentProgressing, corev1.ConditionUnknown, "DeploymentResumed", "Deployment is resumed", now)
	case created != nil:
		renew(s, "NewReplicaSetCreated", fmt.Sprintf("Created new replica set %q", created.Name), now)
	case old != nil && old.Reason == available && s.Replicas == s.UpdatedReplicas:
		return 0 // the last rollout is over: pods that come and go are no progress
	case r.complete(s):
		set(s, appsv1.DeploymentProgressing, corev1.ConditionTrue, available, name+" has successfully progressed.", now)
		return 0
	case old == nil && r.current != nil:
		renew(s, "FoundNewReplicaSet", fmt.Sprintf("Found new replica set %q", r.current.Name), now)
	case r.progressed(s):
		renew(s, "ReplicaSetUpdated", name+" is progressing.", now)
	}
	return r.deadline(s, name, now)
}

// Reasons of the Progressing condition that decide about the next.
const (
	available = "NewReplicaSetAvailable"
	timedOut  = "ProgressDeadlineExceeded"
)

// hasDeadline tells whether progress is to be judged; upstream's "none" is the
// largest number.
func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

// subject is what progresses, for people: the set of the present template, or the
// Deployment before that is there.
func subject(d *appsv1.Deployment, sets ...*appsv1.ReplicaSet) string {
	for _, rs := range sets {
		if rs != nil {
			return fmt.Sprintf("ReplicaSet %q", rs.Name)
		}
	}
	return fmt.Sprintf("Deployment %q", d.Name)
}

// complete tells that a status is that of a rollout that reached its goal.
func (r *round) complete(s *appsv1.DeploymentStatus) bool {
	return s.UpdatedReplicas == r.replicas && s.Replicas == r.replicas && s.AvailableReplicas == r.replicas &&
		s.ObservedGeneration >= r.d.Generation
}

// progressed tells that something moved towards the goal since last time.
func (r *round) progressed(s *appsv1.DeploymentStatus) bool {
	o := r.d.Status
	return s.UpdatedReplicas > o.UpdatedReplicas || s.Replicas-s.UpdatedReplicas < o.Replicas-o.UpdatedReplicas ||
		s.ReadyReplicas > o.ReadyReplicas || s.AvailableReplicas > o.AvailableReplicas
}

// deadline declares a rollout failed that has not moved for
// progressDeadlineSeconds; otherwise it says when that will be.
func (r *round) deadline(s *appsv1.DeploymentStatus, name string, now time.Time) time.Duration {
	c := find(s.Conditions, appsv1.DeploymentProgressing)
	if c == nil || c.Reason == available || c.Reason == timedOut {
		return 0
	}
	left := c.LastUpdateTime.Time().Add(time.Duration(*r.d.Spec.ProgressDeadlineSeconds) * time.Second).Sub(now)
	if left >= 0 {
		return left + time.Second // times are written in whole seconds
	}
	set(s, appsv1.DeploymentProgressing, corev1.ConditionFalse, timedOut, name+" has timed out progressing.", now)
	return 0
}

func find(list []appsv1.DeploymentCondition, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

// set writes a condition unless status and reason are as they were.
func set(s *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string, now time.Time) {
	at := metav1.NewTime(now)
	c := find(s.Conditions, t)
	if c == nil {
		s.Conditions = append(s.Conditions, appsv1.DeploymentCondition{Type: t, Status: status, Reason: reason, Message: message, LastUpdateTime: at, LastTransitionTime: at})
		return
	}
	if c.Status == status && c.Reason == reason {
		return
	}
	if c.Status != status {
		c.LastTransitionTime = at
	}
	c.Status, c.Reason, c.Message, c.LastUpdateTime = status, reason, message, at
}

// renew is set for progress: the time of the last progress counts, so it is
// written even when the reason is the same.
func renew(s *appsv1.DeploymentStatus, reason, message string, now time.Time) {
	set(s, appsv1.DeploymentProgressing, corev1.ConditionTrue, reason, message, now)
	c := find(s.Conditions, appsv1.DeploymentProgressing)
	c.Message, c.LastUpdateTime = message, metav1.NewTime(now)
}

func unset(s *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType) {
	for i, c := range s.Conditions {
		if c.Type == t {
			s.Conditions = append(s.Conditions[:i], s.Conditions[i+1:]...)
			return
		}
	}
}

func sameStatus(a, b appsv1.DeploymentStatus) bool {
	if len(a.Conditions) == 0 && len(b.Conditions) == 0 {
		a.Conditions, b.Conditions = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
