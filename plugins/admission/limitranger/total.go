package limitranger

import (
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

func requests(r *corev1.ResourceRequirements) corev1.ResourceList { return r.Requests }
func limits(r *corev1.ResourceRequirements) corev1.ResourceList   { return r.Limits }

// ofPods are the resources that a pod may have as a whole.
var ofPods = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// total is what a pod needs at most at any time of one side of its resources: its
// containers and sidecars together, or an init container with the sidecars that were
// started before it; what it has as a whole takes the place of that.
func total(o *object, side func(*corev1.ResourceRequirements) corev1.ResourceList) corev1.ResourceList {
	sum, sidecars, start := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	for i := range o.Spec.Containers {
		add(sum, side(&o.Spec.Containers[i].Resources))
	}
	for i := range o.Spec.InitContainers {
		c := &o.Spec.InitContainers[i]
		own := side(&c.Resources)
		if c.RestartPolicy == "Always" {
			add(sum, own)
			add(sidecars, own)
			raise(start, sidecars)
			continue
		}
		now := corev1.ResourceList{}
		add(now, own)
		add(now, sidecars)
		raise(start, now)
	}
	raise(sum, start)
	for _, name := range ofPods {
		if q, ok := side(&o.Spec.Resources)[name]; ok {
			sum[name] = q
		}
	}
	return sum
}

func add(to, more corev1.ResourceList) {
	for name, q := range more {
		if old, ok := to[name]; ok {
			q = old.Add(q)
		}
		to[name] = q
	}
}

func raise(to, least corev1.ResourceList) {
	for name, q := range least {
		if old, ok := to[name]; !ok || q.Cmp(old) > 0 {
			to[name] = q
		}
	}
}
