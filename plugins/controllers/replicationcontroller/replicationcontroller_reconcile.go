package replicationcontroller

import (
	"time"

	"github.com/pintle-io/pintle/plugins/replicas"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// setOf is a ReplicationController in the terms of a ReplicaSet. It shares what
// the object refers to.
func setOf(rc *corev1.ReplicationController) *replicas.Set {
	s := &replicas.Set{ObjectMeta: rc.ObjectMeta, Replicas: 1, MinReady: time.Duration(rc.Spec.MinReadySeconds) * time.Second,
		Template: rc.Spec.Template, Object: rc}
	if rc.Spec.Replicas != nil {
		s.Replicas = int(*rc.Spec.Replicas)
	}
	if len(rc.Spec.Selector) > 0 { // an empty one of labels would match everything
		s.Selector = &metav1.LabelSelector{MatchLabels: rc.Spec.Selector}
	}
	if s.Template == nil {
		s.Template = &corev1.PodTemplateSpec{}
	}
	is := rc.Status
	s.Status = replicas.Status{Replicas: is.Replicas, FullyLabeledReplicas: is.FullyLabeledReplicas, ReadyReplicas: is.ReadyReplicas,
		AvailableReplicas: is.AvailableReplicas, ObservedGeneration: is.ObservedGeneration}
	for _, c := range is.Conditions {
		s.Status.Conditions = append(s.Status.Conditions, appsv1.ReplicaSetCondition{Type: appsv1.ReplicaSetConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message})
	}
	return s
}

// statusOf is the status of a ReplicationController, which does not say how many
// pods are being deleted.
func statusOf(s replicas.Status) corev1.ReplicationControllerStatus {
	out := corev1.ReplicationControllerStatus{Replicas: s.Replicas, FullyLabeledReplicas: s.FullyLabeledReplicas, ReadyReplicas: s.ReadyReplicas,
		AvailableReplicas: s.AvailableReplicas, ObservedGeneration: s.ObservedGeneration}
	for _, c := range s.Conditions {
		out.Conditions = append(out.Conditions, corev1.ReplicationControllerCondition{Type: corev1.ReplicationControllerConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message})
	}
	return out
}
