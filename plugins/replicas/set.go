// Package replicas keeps the number of pods that an object asks for, be it a
// ReplicaSet or a ReplicationController: it adopts pods that match and have no
// owner, lets go of those that match no longer, creates what is missing from the
// template, deletes what is too much, and reports the count.
//
// The controllers of both kinds share it, as upstream's do (pkg/controller/replicaset,
// which pkg/controller/replication wraps). Begin at [Points]; what is decided is
// in replicas_reconcile.go and rank.go, which are pure.
package replicas

import (
	"slices"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// Kind is a kind of objects that ask for a number of pods.
type Kind struct {
	// Resource of its objects, as controller.Watch has it.
	Resource string
	// APIVersion and Name are what pods name their owner by.
	APIVersion, Name string
	// Get reads an object; its errors are the client's.
	Get func(c client.Client, namespace, name string) (*Set, error)
	// List reads objects, which are shared: nobody may change them.
	List func(c client.Client, o client.ListOptions) ([]*Set, error)
	// UpdateStatus writes a status of an object that Get has read.
	UpdateStatus func(c client.Client, s *Set, status Status) error
	// CountsTerminating: its status says how many pods are being deleted.
	CountsTerminating bool
}

// Set is what an object of a [Kind] says.
type Set struct {
	metav1.ObjectMeta
	// Replicas wanted.
	Replicas int
	// MinReady is for how long a pod is ready until it is available.
	MinReady time.Duration
	// Selector of its pods; nil selects none.
	Selector *metav1.LabelSelector
	// Template of its pods.
	Template *corev1.PodTemplateSpec
	Status   Status
	// Object is the object itself, which events are about.
	Object client.Object
}

// Status is what is said of a set. What a kind does not have of it, its
// UpdateStatus leaves out.
type Status = appsv1.ReplicaSetStatus

// failing tells that pods could not be made or deleted when that was last tried.
func (s *Set) failing() bool {
	return slices.ContainsFunc(s.Status.Conditions, func(c appsv1.ReplicaSetCondition) bool {
		return c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue
	})
}

// ownedBy is the reference by which a pod names the set.
func (k *Kind) ownedBy(s *Set) metav1.OwnerReference {
	return metav1.NewControllerRef(s, k.APIVersion, k.Name)
}
