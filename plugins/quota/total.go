package quota

import (
	"strings"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
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
		raise(sum, o.total(asked))
	}
	raise(sum, o.total(has))
	raise(sum, o.total(granted))
	if r := o.Spec.Resources; r != nil && podLevel(r.Requests) {
		override(sum, r.Requests)
	}
	add(sum, o.Spec.Overhead)
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
		raise(sum, o.total(asked))
	}
	raise(sum, o.total(has))
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

// total is what the containers of a pod need at most at any time: those that run
// together, or an init container beside the sidecars that were started before it.
func (o *Object) total(of side) corev1.ResourceList {
	sum, sidecars, start := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	for i := range o.Spec.Containers {
		c := &o.Spec.Containers[i]
		add(sum, of(c, o.statusOf(c.Name)))
	}
	for i := range o.Spec.InitContainers {
		c := &o.Spec.InitContainers[i]
		own := of(c, o.statusOf(c.Name))
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
	return sum
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

func add(to, more corev1.ResourceList) {
	for r, q := range more {
		to[r] = sumOf(to, r, q)
	}
}

func sumOf(list corev1.ResourceList, r corev1.ResourceName, q resource.Quantity) resource.Quantity {
	if old, ok := list[r]; ok {
		return old.Add(q)
	}
	return q
}

func raise(to, least corev1.ResourceList) {
	for r, q := range least {
		if old, ok := to[r]; !ok || q.Cmp(old) > 0 {
			to[r] = q
		}
	}
}
