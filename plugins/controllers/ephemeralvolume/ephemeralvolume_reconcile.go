package ephemeralvolume

import (
	"fmt"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// pod is what the controller looks at in a Pod.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Volumes []volume `json:"volumes"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*pod) APIResource() string { return pods }

type volume struct {
	Name      string `json:"name"`
	Ephemeral *struct {
		Template corev1.PersistentVolumeClaimTemplate `json:"volumeClaimTemplate"`
	} `json:"ephemeral"`
}

// claimFor is the claim of an ephemeral volume.
func claimFor(p *pod, v *volume) *corev1.PersistentVolumeClaim {
	t := &v.Ephemeral.Template
	c := &corev1.PersistentVolumeClaim{Spec: t.Spec}
	c.Namespace, c.Name = p.Namespace, p.Name+"-"+v.Name
	c.Labels, c.Annotations = t.Labels, t.Annotations
	c.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(p, "v1", "Pod")}
	return c
}

// isFor tells, in upstream's words, why a claim is not the pod's; nil if it is.
func isFor(p *pod, c *corev1.PersistentVolumeClaim) error {
	if c.Namespace != p.Namespace || !metav1.IsControlledBy(c, p) {
		return fmt.Errorf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", c.Namespace, c.Name, p.Namespace, p.Name)
	}
	return nil
}
