package node

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/pintle-io/pintle/kernel/admission"
)

// claimStatus lets a node say how large a claim's volume has become, and
// nothing else of it.
func claimStatus(node string, a *admission.Attributes) error {
	if a.Subresource != "status" {
		return fmt.Errorf("may only update PVC status")
	}
	if a.Operation != admission.Update {
		return fmt.Errorf("unexpected operation %q", a.Operation)
	}
	old, ok := a.Old.(*corev1.PersistentVolumeClaim)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Old)
	}
	claim, ok := a.Object.(*corev1.PersistentVolumeClaim)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if !equality.Semantic.DeepEqual(withoutSize(old), withoutSize(claim)) {
		return fmt.Errorf("node %q is not allowed to update fields other than status.quantity and status.conditions", node)
	}
	return nil
}

// withoutSize is a claim without what a node may change, and without what the
// server keeps itself.
func withoutSize(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	c = c.DeepCopy()
	c.ResourceVersion, c.ManagedFields = "", nil
	c.Status.Capacity, c.Status.Conditions = nil, nil
	c.Status.AllocatedResourceStatuses, c.Status.AllocatedResources = nil, nil
	return c
}

// checkSlice keeps a node to the devices of its own.
func checkSlice(node string, a *admission.Attributes) error {
	o, verb := a.Object, "create"
	switch a.Operation {
	case admission.Create, admission.Update:
	case admission.Delete:
		o, verb = a.Old, "delete"
	default:
		return nil
	}
	s, ok := o.(*resourcev1.ResourceSlice)
	if !ok {
		return fmt.Errorf("unexpected type %T", o)
	}
	if s.Spec.NodeName == nil || *s.Spec.NodeName != node {
		return fmt.Errorf("can only %s ResourceSlice with the same NodeName as the requesting node", verb)
	}
	return nil
}
