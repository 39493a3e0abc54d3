package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

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

// keepLocalVolumes removes the data of volumes that were provisioned on this node, and
// are being deleted.
func (p *parts) keepLocalVolumes(ctx context.Context) error {
	k := &localpath.Keeper{Client: p.agent.client, Node: p.agent.cfg.Name, Root: p.agent.cfg.localVolumes(), Mounted: p.mounted, Log: p.agent.cfg.Log}
	return k.Run(ctx)
}

// mounted tells whether a pod that is here has a claim's volume.
func (p *parts) mounted(namespace, claim string) bool {
	return slices.ContainsFunc(p.workers.Pods(), func(pod *corev1.Pod) bool {
		return pod.Namespace == namespace && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim || v.Ephemeral != nil && pod.Name+"-"+v.Name == claim
		})
	})
}
