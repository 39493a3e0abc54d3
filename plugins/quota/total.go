package quota

import (
	"strings"

	"github.com/pintle-io/pintle/plugins/podresources"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// side is one side of what a container has: what its spec says, or what was made of it.
// nil is nothing.
type side func(c *container, s *containerStatus) corev1.ResourceList

// requests is what a pod may take: the most of what its containers ask for, are
// granted, and have, while a resize is under way.
func (o *Object) requests() corev1.ResourceList {
	infeasible := o.infeasible()
	asked := func(c *container, _ *containerStatus) corev1.ResourceList { return c.Resources.Requests }
	granted := func(c *container, s *containerStatus) corev1.ResourceList {
		switch {
		case s != nil && s.Allocated != nil:
			return s.Allocated
		case infeasible:
			return nil
		}
		return c.Resources.Requests
	}
	has := func(c *container, s *containerStatus) corev1.ResourceList {
		if s != nil && s.Resources != nil && s.Resources.Requests != nil {
			return s.Resources.Requests
		}
		return granted(c, s)
	}
	sum := corev1.ResourceList{}
	if !infeasible {
		podresources.Raise(sum, o.total(asked))
	}
	podresources.Raise(sum, o.total(has))
	podresources.Raise(sum, o.total(granted))
	if r := o.Spec.Resources; r != nil && podLevel(r.Requests) {
		override(sum, r.Requests)
	}
	podresources.Add(sum, o.Spec.Overhead)
	return sum
}

func (o *Object) limits() corev1.ResourceList {
	infeasible := o.infeasible()
	asked := func(c *container, _ *containerStatus) corev1.ResourceList { return c.Resources.Limits }
	has := func(c *container, s *containerStatus) corev1.ResourceList {
		switch {
		case s != nil && s.Resources != nil && s.Resources.Limits != nil:
			return s.Resources.Limits
		case infeasible:
			return nil
		}
		return c.Resources.Limits
	}
	sum := corev1.ResourceList{}
	if !infeasible {
		podresources.Raise(sum, o.total(asked))
	}
	podresources.Raise(sum, o.total(has))
	if o.hasPodLevel() {
		override(sum, o.Spec.Resources.Limits)
	}
	for r, q := range o.Spec.Overhead {
		if has, ok := sum[r]; ok && !has.IsZero() {
			sum[r] = has.Add(q)
		}
	}
	return sum
}

// total is what the containers of a pod need at most at any time.
func (o *Object) total(of side) corev1.ResourceList {
	containers := make([]corev1.ResourceList, len(o.Spec.Containers))
	for i := range o.Spec.Containers {
		c := &o.Spec.Containers[i]
		containers[i] = of(c, o.statusOf(c.Name))
	}
	inits := make([]podresources.Init, len(o.Spec.InitContainers))
	for i := range o.Spec.InitContainers {
		c := &o.Spec.InitContainers[i]
		inits[i] = podresources.Init{ResourceList: of(c, o.statusOf(c.Name)), Sidecar: c.RestartPolicy == "Always"}
	}
	return podresources.Total(containers, inits)
}

func (o *Object) statusOf(name string) *containerStatus {
	for _, list := range [][]containerStatus{o.Status.ContainerStatuses, o.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// infeasible tells that the node has refused a resize for good: what the spec says will
// not be.
func (o *Object) infeasible() bool {
	for _, c := range o.Status.Conditions {
		if c.Type == "PodResizePending" {
			return c.Reason == "Infeasible"
		}
	}
	return false
}

// hasPodLevel tells whether the pod says something for all of its containers together.
func (o *Object) hasPodLevel() bool {
	r := o.Spec.Resources
	return r != nil && (podLevel(r.Requests) || podLevel(r.Limits))
}

func podLevel(list corev1.ResourceList) bool {
	for r := range list {
		if forPods(r) {
			return true
		}
	}
	return false
}

// forPods are the resources that a pod may have as a whole.
func forPods(r corev1.ResourceName) bool {
	return r == corev1.ResourceCPU || r == corev1.ResourceMemory || strings.HasPrefix(string(r), hugePages)
}

func override(sum, by corev1.ResourceList) {
	for r, q := range by {
		if forPods(r) {
			sum[r] = q
		}
	}
}
