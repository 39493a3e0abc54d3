// Package localpath provisions volumes that are directories of a node, for claims of
// StorageClasses with provisioner pintle.dev/local-path.
//
// It makes and deletes PersistentVolumes only. The directory is the node agent's
// work (node/volume/localpath): it makes it when the first pod mounts the volume,
// and removes it when the volume is being deleted, before it removes the volume's
// finalizer. See RATIONALE.md, "Why does the node agent remove local volumes?".
package localpath

import (
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	claims  = "v1/persistentvolumeclaims"
	volumes = "v1/persistentvolumes"
	nodes   = "v1/nodes"
	classes = "storage.k8s.io/v1/storageclasses"
)

// What no object is called begins the names of other requests: for the volumes of a
// node that is gone, and for the claims that wait for a class.
const (
	ofNode  = "node "
	ofClass = "class "
)

// leaves is when a claim is looked at again whose volume's name is still taken.
const leaves = 5 * time.Second

func init() {
	sdk.Register(sdk.Plugin{Name: "local-path", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: claims, Present: []string{"metadata.annotations[" + annProvisioner + "]"}},
				{Resource: volumes, Present: []string{"metadata.labels[" + NodeLabel + "]"}},
				{Resource: volumes, Map: controller.Deleted(volumeGone), Fields: []string{"spec.claimRef"}, Present: []string{"metadata.labels[" + NodeLabel + "]"}},
				{Resource: classes, Map: controller.Func(classChanged), Fields: []string{"metadata.name"}},
				{Resource: nodes, Map: controller.Deleted(nodeGone), Fields: []string{"metadata.name"}},
			},
			Implements: []string{}, // the binder does
			Reconcile:  reconcile,
		}, nil
	}})
}

func nodeGone(n sdk.Value) []controller.Request {
	return []controller.Request{{Name: ofNode + n.Get("metadata.name").String()}}
}

// volumeGone requests the claim of a volume that is gone: it may need another.
func volumeGone(v sdk.Value) []controller.Request {
	ns, name := v.Get("spec.claimRef.namespace").String(), v.Get("spec.claimRef.name").String()
	if ns == "" || name == "" {
		return nil
	}
	return []controller.Request{{Namespace: ns, Name: name}}
}

func classChanged(k sdk.Value) []controller.Request {
	return []controller.Request{{Name: ofClass + k.Get("metadata.name").String()}}
}

func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	if name, ok := strings.CutPrefix(q.Name, ofNode); ok {
		return volumesOf(c, name)
	}
	if name, ok := strings.CutPrefix(q.Name, ofClass); ok {
		return claimsOf(c, name)
	}
	if q.Namespace == "" {
		return controller.Result{}, reconcileVolume(c, q.Name)
	}
	cl := &claim{}
	if err := c.Get(cl, q.Namespace, q.Name); err != nil {
		return controller.Result{}, unlessGone(err)
	}
	if cl.Annotations[annProvisioner] != Provisioner {
		return controller.Result{}, nil
	}
	if cl.Spec.VolumeName != "" {
		return controller.Result{}, expand(c, cl)
	}
	return provision(c, cl)
}

func unlessGone(err error) error {
	if client.IsNotFound(err) {
		return nil
	}
	return err
}

// volumesOf requests the volumes of a node.
func volumesOf(c client.Client, node string) (res controller.Result, err error) {
	var list []*volume
	if err := c.List(&list, client.ListOptions{Labels: NodeLabel + "=" + node}); err != nil {
		return res, err
	}
	for _, v := range list {
		res.Enqueue = append(res.Enqueue, controller.Request{Name: v.Name})
	}
	return res, nil
}

// claimsOf requests the claims of a class that wait for a volume.
func claimsOf(c client.Client, class string) (res controller.Result, err error) {
	var list []*claim
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return res, err
	}
	for _, x := range list {
		if x.Spec.VolumeName == "" && x.class() == class && x.Annotations[annProvisioner] == Provisioner {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: x.Namespace, Name: x.Name})
		}
	}
	return res, nil
}

func provision(c client.Client, cl *claim) (res controller.Result, err error) {
	k := &class{}
	if err := c.Get(k, "", cl.class()); err != nil {
		return res, unlessGone(err)
	}
	if !wanted(cl, k) {
		return res, nil
	}
	if err := refusal(cl, k); err != nil {
		c.Event(cl, client.Note{Warning: true, Reason: "ProvisioningFailed", Message: fmt.Sprintf("failed to provision volume with StorageClass %q: %v", k.Name, err)})
		return res, nil // until the claim or its class changes
	}
	n := &node{}
	err = c.Get(n, "", cl.Annotations[annSelectedNode])
	if client.IsNotFound(err) {
		return res, reschedule(c, cl, k, fmt.Errorf("node %q not found", cl.Annotations[annSelectedNode]))
	}
	if err != nil {
		return res, err
	}
	if err := misplaced(n); err != nil {
		return res, reschedule(c, cl, k, err)
	}
	v := volumeFor(cl, k, n)
	if err := c.Create(v); err != nil {
		if client.IsAlreadyExists(err) {
			return again(c, v.Name)
		}
		c.Event(cl, client.Note{Warning: true, Reason: "ProvisioningFailed", Message: fmt.Sprintf("failed to provision volume with StorageClass %q: %v", k.Name, err)})
		return res, err
	}
	c.Event(cl, client.Note{Reason: "ProvisioningSucceeded", Message: "Successfully provisioned volume " + v.Name})
	return res, nil
}

// again tells when to look again at a claim whose volume is there already: made by
// whoever tried before, unless it is on its way out.
func again(c client.Client, name string) (res controller.Result, err error) {
	v := &volume{}
	if err := c.Get(v, "", name); client.IsNotFound(err) {
		return controller.Result{RequeueAfter: leaves}, nil
	} else if err != nil {
		return res, err
	}
	if v.DeletionTimestamp != nil {
		res.RequeueAfter = leaves
	}
	return res, nil
}

// reschedule asks the scheduler for another node.
func reschedule(c client.Client, cl *claim, k *class, why error) error {
	c.Event(cl, client.Note{Warning: true, Reason: "ProvisioningFailed", Message: fmt.Sprintf("failed to provision volume with StorageClass %q: %v", k.Name, why)})
	return unlessGone(c.Patch(cl, client.Patch{Data: map[string]any{"metadata": map[string]any{
		"uid": cl.UID, "resourceVersion": cl.ResourceVersion, "annotations": map[string]any{annSelectedNode: nil}}}}))
}

// expand gives a claim the size that it asks for: the volume first, as resizers do.
func expand(c client.Client, cl *claim) error {
	v := &volume{}
	if err := c.Get(v, "", cl.Spec.VolumeName); err != nil {
		return unlessGone(err)
	}
	if !grows(cl, v) {
		return nil
	}
	asks := map[string]any{"storage": cl.Spec.Resources.Requests.Storage}
	if v.Spec.Capacity.Storage.Cmp(cl.Spec.Resources.Requests.Storage) < 0 {
		err := c.Patch(v, client.Patch{Data: map[string]any{"metadata": map[string]any{"uid": v.UID, "resourceVersion": v.ResourceVersion},
			"spec": map[string]any{"capacity": asks}}})
		if err != nil {
			return err
		}
	}
	err := c.Patch(cl, client.Patch{Subresource: "status", Data: map[string]any{"metadata": map[string]any{"uid": cl.UID, "resourceVersion": cl.ResourceVersion},
		"status": map[string]any{"capacity": asks}}})
	if err == nil {
		c.Event(cl, client.Note{Reason: "VolumeResizeSuccessful", Message: "Resize volume succeeded"})
	}
	return unlessGone(err)
}

func reconcileVolume(c client.Client, name string) error {
	v := &volume{}
	if err := c.Get(v, "", name); err != nil {
		return unlessGone(err)
	}
	switch decide(v) {
	case goes:
		o := client.DeleteOptions{Preconditions: client.NewUIDPreconditions(v.UID)}
		o.Preconditions.ResourceVersion = &v.ResourceVersion // the policy may change
		return unlessGone(c.Delete(v, o))
	case let:
		return client.RemoveFinalizer(c, v, Finalizer)
	case orphan:
		err := c.Get(&node{}, "", v.Labels[NodeLabel])
		if client.IsNotFound(err) {
			return client.RemoveFinalizer(c, v, Finalizer)
		}
		return err
	case stays:
	}
	return nil
}
