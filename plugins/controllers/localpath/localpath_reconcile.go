package localpath

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// wanted tells that a volume is to be made for the claim.
func wanted(c *claim, k *class) bool {
	return c.Spec.VolumeName == "" && c.DeletionTimestamp == nil && c.Annotations[annProvisioner] == Provisioner && k.Provisioner == Provisioner
}

// refusal is why no volume can be made for the claim, wherever; nil when one can.
func refusal(c *claim, k *class) error {
	switch s := &c.Spec; {
	case s.VolumeMode == "Block":
		return fmt.Errorf("volumes of %s are directories: volumeMode must be Filesystem", Provisioner)
	case slices.ContainsFunc(s.AccessModes, func(m string) bool { return m != "ReadWriteOnce" && m != "ReadWriteOncePod" }):
		return fmt.Errorf("volumes of %s are on one node: accessModes may be ReadWriteOnce and ReadWriteOncePod", Provisioner)
	case s.Selector != nil:
		return fmt.Errorf("volumes of %s are made for their claim: spec.selector must be empty", Provisioner)
	case s.DataSource != nil || s.DataSourceRef != nil:
		return fmt.Errorf("volumes of %s begin empty: spec.dataSource and spec.dataSourceRef must be empty", Provisioner)
	case s.Attributes != "":
		return fmt.Errorf("volumes of %s have no attributes: spec.volumeAttributesClassName must be empty", Provisioner)
	case len(k.MountOptions) > 0:
		return fmt.Errorf("Mount options are not supported by the provisioner but StorageClass %q has mount options %v", k.Name, k.MountOptions)
	case c.Annotations[annSelectedNode] == "":
		return fmt.Errorf("no node is selected: StorageClass %q must have volumeBindingMode WaitForFirstConsumer", k.Name)
	}
	return nil
}

// misplaced is why no volume can be made on the node; nil when one can.
func misplaced(n *node) error {
	switch {
	case !strings.HasPrefix(n.Annotations[DirectoryAnnotation], "/"):
		return fmt.Errorf("node %q has no directory for volumes of %s: it needs a node agent of Pintle, which says so by annotation %s", n.Name, Provisioner, DirectoryAnnotation)
	case n.Labels[hostname] == "":
		return fmt.Errorf("node %q has no label %s, by which its volumes are found", n.Name, hostname)
	case len(n.Name) > 63:
		return fmt.Errorf("the name of node %q is longer than a label may be (63 characters)", n.Name)
	}
	return nil
}

// volumeName is upstream's, which is the same whoever tries again.
func volumeName(c *claim) string { return "pvc-" + c.UID }

// volumeFor is the volume of a claim on a node that both are good for. It is the
// claim's from the beginning, and nobody else's.
func volumeFor(c *claim, k *class, n *node) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{}
	v.Name = volumeName(c)
	v.Labels = map[string]string{NodeLabel: n.Name}
	v.Annotations = map[string]string{annProvisionedBy: Provisioner}
	v.Finalizers = []string{Finalizer}
	v.Spec.Capacity = corev1.ResourceList{"storage": c.Spec.Resources.Requests.Storage}
	for _, m := range c.Spec.AccessModes {
		v.Spec.AccessModes = append(v.Spec.AccessModes, corev1.PersistentVolumeAccessMode(m))
	}
	v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimPolicy(k.ReclaimPolicy)
	v.Spec.StorageClassName = c.class()
	v.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: c.Namespace, Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion}
	v.Spec.Local = &corev1.LocalVolumeSource{Path: path.Join(n.Annotations[DirectoryAnnotation], v.Name)}
	v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: hostname, Operator: "In", Values: []string{n.Labels[hostname]}}}}}}}
	return v
}

// grows tells that the claim asks for more than it has, and its volume is ours: a
// directory has no size, so that all it takes is to say so.
func grows(c *claim, v *volume) bool {
	return c.Status.Phase == bound && ours(v) && v.Spec.ClaimRef != nil && v.Spec.ClaimRef.UID == c.UID &&
		c.Spec.Resources.Requests.Storage.Cmp(c.Status.Capacity.Storage) > 0
}

func ours(v *volume) bool { return v.Annotations[annProvisionedBy] == Provisioner }

// fate is what becomes of a volume.
type fate int

const (
	stays  fate = iota
	goes        // is deleted: its claim is gone and so shall its data
	let         // loses the finalizer: there is nothing to remove, or it is to be kept
	orphan      // loses it if the node is gone, and the data with it
)

// decide is what becomes of a volume. While the node is there its agent removes the
// directory of one that is being deleted, and the finalizer after that.
func decide(v *volume) fate {
	switch going := v.DeletionTimestamp != nil; {
	case !ours(v):
		return stays
	case !going && v.Status.Phase == released && v.Spec.ReclaimPolicy == remove:
		return goes
	case !going || !client.ContainsFinalizer(v, Finalizer):
		return stays
	case v.Spec.ReclaimPolicy != remove:
		return let
	case v.Status.Phase != bound:
		return orphan
	}
	return stays
}
