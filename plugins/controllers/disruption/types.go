package disruption

import (
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// selector is what tells which pods a budget is about.
type selector struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Selector *metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
}

// APIResource makes a selector a client.Object.
func (*selector) APIResource() string { return budgets }

// pod is what counts of one. All pods of a budget are read at every change of one, so it
// holds nothing else.
type pod struct {
	Metadata struct {
		Namespace       string                  `json:"namespace"`
		Name            string                  `json:"name"`
		UID             string                  `json:"uid"`
		Deleted         *metav1.Time            `json:"deletionTimestamp"`
		OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
	Status struct {
		Conditions []struct {
			Type   corev1.PodConditionType `json:"type"`
			Status corev1.ConditionStatus  `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// APIResource makes a pod a client.Object.
func (*pod) APIResource() string { return "v1/pods" }

func (p *pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// controller is the owner that controls the pod; nil without one.
func (p *pod) controller() *metav1.OwnerReference {
	return metav1.ControllerOf(&metav1.ObjectMeta{OwnerReferences: p.Metadata.OwnerReferences})
}

// owner is what the built-in kinds that own pods have in common.
type owner struct {
	resource string

	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Replicas *int32 `json:"replicas"`
	} `json:"spec"`
}

// APIResource makes an owner a client.Object, of the resource that it was made for.
func (o *owner) APIResource() string { return o.resource }

// replicas are the pods that it wants: one, as the API has it, if it does not say.
func (o *owner) replicas() int32 {
	if o.Spec.Replicas == nil {
		return 1
	}
	return *o.Spec.Replicas
}
