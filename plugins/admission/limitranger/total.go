package limitranger

import (
	"github.com/pintle-io/pintle/plugins/podresources"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

func requests(r *corev1.ResourceRequirements) corev1.ResourceList { return r.Requests }
func limits(r *corev1.ResourceRequirements) corev1.ResourceList   { return r.Limits }

// ofPods are the resources that a pod may have as a whole.
var ofPods = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// total is what a pod needs at most at any time of one side of its resources; what it
// has as a whole takes the place of what its containers have.
func total(o *object, side func(*corev1.ResourceRequirements) corev1.ResourceList) corev1.ResourceList {
	containers := make([]corev1.ResourceList, len(o.Spec.Containers))
	for i := range o.Spec.Containers {
		containers[i] = side(&o.Spec.Containers[i].Resources)
	}
	inits := make([]podresources.Init, len(o.Spec.InitContainers))
	for i := range o.Spec.InitContainers {
		c := &o.Spec.InitContainers[i]
		inits[i] = podresources.Init{ResourceList: side(&c.Resources), Sidecar: c.RestartPolicy == "Always"}
	}
	sum := podresources.Total(containers, inits)
	for _, name := range ofPods {
		if q, ok := side(&o.Spec.Resources)[name]; ok {
			sum[name] = q
		}
	}
	return sum
}
