// Package resize decides about changes of the resources of a pod that runs
// already, which is called in-place resize. A pod has resources three times:
//
//	desired     what its spec asks for
//	allocated   what its node has granted it; the node is filled by this
//	actual      what each of its instances runs with
//
// They differ while a resize waits for room or is under way. Everything that
// the node does for a pod, it does with what is allocated: Allocation.Apply
// puts that into a pod. The package is pure; package checkpoint keeps its
// records, and package pod carries out what Next asks for.
package resize

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/pintle-io/pintle/node/cgroup"
)

// Allocation is what a node has granted a pod.
type Allocation struct {
	// Pod is what was granted to the pod as a whole; nil if it asks for nothing
	// as a whole.
	Pod *corev1.ResourceRequirements `json:"pod,omitempty"`
	// Containers are by name, init containers included.
	Containers map[string]corev1.ResourceRequirements `json:"containers"`
}

// Of is the allocation that grants a pod what its spec asks for.
func Of(pod *corev1.Pod) Allocation {
	a := Allocation{Pod: pod.Spec.Resources.DeepCopy(), Containers: map[string]corev1.ResourceRequirements{}}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			a.Containers[list[i].Name] = *list[i].Resources.DeepCopy()
		}
	}
	return a
}

// Apply returns pod with what is allocated in place of what it asks for: pod
// itself when these are the same, else a copy.
func (a Allocation) Apply(pod *corev1.Pod) *corev1.Pod {
	if a.grants(pod) {
		return pod
	}
	out := *pod
	out.Spec.Resources = a.Pod
	out.Spec.InitContainers = a.apply(pod.Spec.InitContainers)
	out.Spec.Containers = a.apply(pod.Spec.Containers)
	return &out
}

func (a Allocation) grants(pod *corev1.Pod) bool {
	if !equality.Semantic.DeepEqual(a.Pod, pod.Spec.Resources) {
		return false
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if r, ok := a.Containers[list[i].Name]; ok && !equality.Semantic.DeepEqual(r, list[i].Resources) {
				return false
			}
		}
	}
	return true
}

func (a Allocation) apply(list []corev1.Container) []corev1.Container {
	if list == nil {
		return nil
	}
	out := append([]corev1.Container(nil), list...)
	for i := range out {
		if r, ok := a.Containers[out[i].Name]; ok {
			out[i].Resources = r
		}
	}
	return out
}

// Record is what a node must remember about a pod's resources, also beyond
// the life of an agent: neither the runtime nor the API knows it.
type Record struct {
	Allocated Allocation `json:"allocated"`
	// Applying tells that something of the pod may still run with what was
	// allocated before.
	Applying bool `json:"applying,omitempty"`
	// Group is, while Applying, how the pod's group is limited.
	Group cgroup.Limits `json:"group,omitzero"`
	// Whole is, while Applying, what bounds the pod as a whole.
	Whole *corev1.ResourceRequirements `json:"whole,omitempty"`
	// Resized is, by instance, what those run with that were resized in place.
	// All others run with what they were made with.
	Resized map[string]corev1.ResourceRequirements `json:"resized,omitempty"`
	// Replaced are instances that are ended for the sake of a resize, so that
	// others take their place, however they end.
	Replaced []string `json:"replaced,omitempty"`
}

// Grant allocates what the spec of pod asks for. limits are those of the pod's
// group by an allocation.
func (r *Record) Grant(pod *corev1.Pod, limits func(*corev1.Pod) cgroup.Limits) {
	if !r.Applying {
		r.Group, r.Whole = limits(r.Allocated.Apply(pod)), r.Allocated.Pod
	}
	r.Allocated, r.Applying = Of(pod), true
}

// Done ends what Grant began.
func (r *Record) Done() {
	r.Applying, r.Group, r.Whole, r.Replaced = false, cgroup.Limits{}, nil, nil
}

// Has is what bounds the pod as a whole at present.
func (r *Record) Has() *corev1.ResourceRequirements {
	if r.Applying {
		return r.Whole
	}
	return r.Allocated.Pod
}

// increases reports whether a pod asks for more than it was allocated.
func increases(desired, allocated *corev1.Pod) bool {
	was := resourcehelper.PodRequests(allocated, resourcehelper.PodResourcesOptions{})
	want := resourcehelper.PodRequests(desired, resourcehelper.PodResourcesOptions{})
	return want.Cpu().Cmp(*was.Cpu()) > 0 || want.Memory().Cmp(*was.Memory()) > 0
}
