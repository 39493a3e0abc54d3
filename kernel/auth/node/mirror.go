package node

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

// mirrorPod is the only pod that a node may create: the picture of a static
// pod, owned by the node itself and without access to anything of the API.
func (n *Restriction) mirrorPod(ctx context.Context, node string, obj runtime.Object) error {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("unexpected type %T", obj)
	}
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; !mirror {
		return fmt.Errorf("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if p.Spec.NodeName != node {
		return fmt.Errorf("node %q can only create pods with spec.nodeName set to itself", node)
	}
	if err := n.ownedByNode(ctx, node, p); err != nil {
		return err
	}
	if what := refersToAPI(p); what != "" {
		return fmt.Errorf("node %q can not create pods that reference %s", node, what)
	}
	return nil
}

// ownedByNode: a mirror pod goes with its node, which therefore must be its
// owner, and the one that is there now.
func (n *Restriction) ownedByNode(ctx context.Context, node string, p *corev1.Pod) error {
	if len(p.OwnerReferences) > 1 {
		return fmt.Errorf("node %q can only create pods with a single owner reference set to itself", node)
	}
	if len(p.OwnerReferences) == 0 {
		return fmt.Errorf("node %q can only create pods with an owner reference set to itself", node)
	}
	owner := &p.OwnerReferences[0]
	switch {
	case owner.APIVersion != "v1" || owner.Kind != "Node" || owner.Name != node:
		return fmt.Errorf("node %q can only create pods with an owner reference set to itself", node)
	case owner.Controller == nil || !*owner.Controller:
		return fmt.Errorf("node %q can only create pods with a controller owner reference set to itself", node)
	case owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion:
		return fmt.Errorf("node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	o, err := n.Reader.Get(ctx, nodeResource, "", node)
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("error looking up node %s to verify uid: %w", node, err)
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return err
	}
	if owner.UID != m.GetUID() {
		return fmt.Errorf("node %s UID mismatch: expected %s got %s", node, owner.UID, m.GetUID())
	}
	return nil
}

// refersToAPI names the first kind of object that the pod refers to; "" when
// there is none.
func refersToAPI(p *corev1.Pod) string {
	if p.Spec.ServiceAccountName != "" {
		return "serviceaccounts"
	}
	has := map[refKind]bool{}
	visitRefs(p, func(k refKind, _ string) bool {
		has[k] = true
		return true
	})
	switch {
	case has[refSecret]:
		return "secrets"
	case has[refConfigMap]:
		return "configmaps"
	case len(p.Spec.ResourceClaims) > 0:
		return "resourceclaims"
	}
	for i := range p.Spec.Volumes {
		if what := volumeRefersToAPI(&p.Spec.Volumes[i].VolumeSource); what != "" {
			return what
		}
	}
	return ""
}

// volumeRefersToAPI is about what visitRefs does not know.
func volumeRefersToAPI(v *corev1.VolumeSource) string {
	switch {
	case v.CSI != nil:
		return "csidrivers (via CSI volumes)"
	case v.Glusterfs != nil:
		return "endpoints (via glusterFS volumes)"
	case v.PersistentVolumeClaim != nil:
		return "persistentvolumeclaims"
	case v.Ephemeral != nil:
		return "persistentvolumeclaims (via ephemeral volumes)"
	case v.Projected == nil:
		return ""
	}
	for _, s := range v.Projected.Sources {
		switch {
		case s.ServiceAccountToken != nil:
			return "serviceaccounts (via projected volumes)"
		case s.ClusterTrustBundle != nil:
			return "clustertrustbundles"
		case s.PodCertificate != nil:
			return "podcertificates"
		}
	}
	return ""
}
