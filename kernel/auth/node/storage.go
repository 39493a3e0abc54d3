package node

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authorization/authorizer"

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

// What node agents and the provisioner of local volumes agree on; see
// plugins/controllers/localpath.
const (
	// LocalVolumeLabel of a volume is the node that has it.
	LocalVolumeLabel = "pintle.dev/local-path-node"
	// LocalVolumeFinalizer is what that node's agent removes.
	LocalVolumeFinalizer = "pintle.dev/local-path"
)

// volume allows a persistent volume whose claim a pod of this node uses, and those
// that are on the node to be followed. A patch is narrowed by Restriction, too,
// which sees the object.
func (z *Authorizer) volume(ctx context.Context, node string, a authorizer.Attributes) string {
	verb := a.GetVerb()
	if verb == "list" || verb == "watch" {
		if selectsLabel(a, LocalVolumeLabel, node) {
			return ""
		}
		return fmt.Sprintf("can only list/watch persistentvolumes with label selector %s=%s", LocalVolumeLabel, node)
	}
	o, err := z.r.Get(ctx, volumeResource, "", a.GetName())
	if err != nil {
		return unrelated(node)
	}
	pv, ok := o.(*corev1.PersistentVolume)
	if ok && verb == "patch" && a.GetSubresource() == "" && pv.Labels[LocalVolumeLabel] == node {
		return ""
	}
	if !ok || verb != "get" || pv.Spec.ClaimRef == nil {
		return unrelated(node)
	}
	pods, err := z.podsOf(ctx, pv.Spec.ClaimRef.Namespace, node)
	if err == nil && slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return refers(p, refClaim, pv.Spec.ClaimRef.Name) }) {
		return ""
	}
	return unrelated(node)
}

func selectsLabel(a authorizer.Attributes, key, value string) bool {
	reqs, err := a.GetLabelSelector()
	if err != nil {
		return false
	}
	for _, r := range reqs {
		if (r.Operator() == selection.Equals || r.Operator() == selection.DoubleEquals || r.Operator() == selection.In) && r.Key() == key && len(r.Values()) == 1 && r.Values().Has(value) {
			return true
		}
	}
	return false
}

// letVolumeGo lets a node remove its finalizer from a volume of its own that is being
// deleted, and nothing else.
func letVolumeGo(node string, a *admission.Attributes) error {
	if a.Operation != admission.Update || a.Subresource != "" {
		return fmt.Errorf("unexpected operation %q", a.Operation)
	}
	old, ok := a.Old.(*corev1.PersistentVolume)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Old)
	}
	v, ok := a.Object.(*corev1.PersistentVolume)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	want := old.DeepCopy()
	want.Finalizers = slices.DeleteFunc(want.Finalizers, func(f string) bool { return f == LocalVolumeFinalizer })
	got := v.DeepCopy()
	for _, x := range []*corev1.PersistentVolume{want, got} {
		x.ResourceVersion, x.ManagedFields = "", nil // the server keeps them itself
	}
	if old.DeletionTimestamp == nil || old.Labels[LocalVolumeLabel] != node || !equality.Semantic.DeepEqual(want, got) {
		return fmt.Errorf("node %q is only allowed to remove finalizer %s from its local volumes that are being deleted", node, LocalVolumeFinalizer)
	}
	return nil
}
