package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	storagehelper "k8s.io/component-helpers/storage/volume"

	"github.com/pintle-io/pintle/node/volume/localpath"
)

// pvcProtection keeps a claim that pods use; upstream's name.
const pvcProtection = "kubernetes.io/pvc-protection"

// claims are those of the pods of this node.
type claims struct{ api kubernetes.Interface }

// volume finds the volume that a claim of a pod is bound to. Errors are in upstream's
// words, which people search for.
func (c claims) volume(ctx context.Context, pod *corev1.Pod, name string, ephemeral bool) (*corev1.PersistentVolume, error) {
	v, err := c.bound(ctx, pod, name, ephemeral)
	if err != nil {
		return nil, fmt.Errorf("error processing PVC %s/%s: %w", pod.Namespace, name, err)
	}
	return v, nil
}

func (c claims) bound(ctx context.Context, pod *corev1.Pod, name string, ephemeral bool) (*corev1.PersistentVolume, error) {
	claim, err := c.api.CoreV1().PersistentVolumeClaims(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("failed to fetch PVC from API server: %w", err)
	}
	switch {
	case ephemeral && !metav1.IsControlledBy(claim, pod):
		return nil, fmt.Errorf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", claim.Namespace, claim.Name, pod.Namespace, pod.Name)
	case claim.DeletionTimestamp != nil && !slices.Contains(claim.Finalizers, pvcProtection):
		return nil, errors.New("PVC is being deleted")
	case claim.Status.Phase != corev1.ClaimBound:
		return nil, errors.New("PVC is not bound")
	case claim.Spec.VolumeName == "":
		return nil, errors.New("PVC has empty pvc.Spec.VolumeName")
	}
	v, err := c.api.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	switch {
	case err != nil:
		return nil, fmt.Errorf("failed to fetch PV %s from API server: %w", claim.Spec.VolumeName, err)
	case v.Spec.ClaimRef == nil:
		return nil, fmt.Errorf("found PV object %s but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim", v.Name)
	case v.Spec.ClaimRef.UID != claim.UID:
		return nil, fmt.Errorf("found PV object %s but its pv.Spec.ClaimRef.UID %s does not point to claim.UID %s", v.Name, v.Spec.ClaimRef.UID, claim.UID)
	}
	return v, nil
}

// fits is why a persistent volume is not for this node: its data are elsewhere. The
// node's labels may have changed since the API has told of them.
func (p *parts) fits(ctx context.Context, v *corev1.PersistentVolume) error {
	if v.Spec.NodeAffinity == nil {
		return nil
	}
	if n := p.self(); n != nil && storagehelper.CheckNodeAffinity(v, n.Labels) == nil {
		return nil
	}
	n := p.ask(ctx)
	if n == nil {
		return fmt.Errorf("the API does not tell of node %q", p.agent.cfg.Name)
	}
	return storagehelper.CheckNodeAffinity(v, n.Labels)
}

// keepLocalVolumes removes the data of volumes that were provisioned on this node, and
// are being deleted. It begins when all pods are known: before, nothing seems mounted.
func (p *parts) keepLocalVolumes(ctx context.Context) error {
	select {
	case <-p.agent.ready:
	case <-ctx.Done():
		return nil
	}
	k := &localpath.Keeper{Client: p.agent.client, Node: p.agent.cfg.Name, Root: p.agent.cfg.localVolumes(), Mounted: p.mounted, Log: p.agent.cfg.Log}
	return k.Run(ctx)
}

// mounted tells whether a pod that is here has a persistent volume: one of which it is
// written down, or one of which it is not known yet what its claim's volume is.
func (p *parts) mounted(v *corev1.PersistentVolume) (bool, error) {
	if has, err := p.volumes.Has(v.Name); err != nil || has {
		return has, err
	}
	r := v.Spec.ClaimRef
	return r != nil && slices.ContainsFunc(p.workers.Pods(), func(pod *corev1.Pod) bool {
		return pod.Namespace == r.Namespace && slices.ContainsFunc(pod.Spec.Volumes, func(x corev1.Volume) bool {
			claimed := x.PersistentVolumeClaim != nil && x.PersistentVolumeClaim.ClaimName == r.Name || x.Ephemeral != nil && pod.Name+"-"+x.Name == r.Name
			return claimed && !p.volumes.Known(pod, x.Name)
		})
	}), nil
}
