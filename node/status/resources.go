package status

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/pintle-io/pintle/node/state"
)

// The kernel's smallest bounds: less than this is the same to it.
const (
	minShares     = 2
	minMilliLimit = 10
)

// whole tells of a pod that has resources as a whole what it was allocated and
// has of them.
func whole(s *corev1.PodStatus, in Input) {
	if in.Pod.Spec.Resources == nil {
		return
	}
	// Who counts adds the overhead himself.
	opts := resourcehelper.PodResourcesOptions{ExcludeOverhead: true}
	s.AllocatedResources = resourcehelper.PodRequests(in.Pod, opts)
	has := *in.Pod
	has.Spec.Resources = in.Whole
	s.Resources = &corev1.ResourceRequirements{Requests: resourcehelper.PodRequests(&has, opts), Limits: resourcehelper.PodLimits(&has, opts)}
}

// resources are what an instance runs with. CPU and memory's limit are the
// runtime's word, where it says; the request of memory is the node's, which
// the kernel is not told. An instance that does not run has what its
// successor will have.
func resources(c *corev1.Container, cur *state.Container) *corev1.ResourceRequirements {
	out := &corev1.ResourceRequirements{Requests: c.Resources.Requests.DeepCopy(), Limits: c.Resources.Limits.DeepCopy()}
	if cur.Phase != state.Running {
		return out
	}
	if cur.Granted != nil {
		take(out.Requests, cur.Granted.Requests)
		take(out.Limits, cur.Granted.Limits)
	}
	if cur.Actual != nil {
		observe(out, cur.Actual)
	}
	return out
}

// take puts what was granted of CPU and memory in place of what is allocated.
func take(out, granted corev1.ResourceList) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if _, asked := out[name]; !asked {
			continue
		}
		if q, ok := granted[name]; ok {
			out[name] = q
		} else {
			delete(out, name)
		}
	}
}

func observe(out *corev1.ResourceRequirements, a *state.Limits) {
	cpu := int64(0)
	if a.CPUPeriod > 0 {
		cpu = a.CPUQuota * 1000 / a.CPUPeriod
	}
	set(out.Limits, corev1.ResourceCPU, resource.NewMilliQuantity(cpu, resource.DecimalSI), minMilliLimit)
	set(out.Limits, corev1.ResourceMemory, resource.NewQuantity(a.Memory, resource.BinarySI), 0)
	if a.CPUShares > 0 {
		set(out.Requests, corev1.ResourceCPU, resource.NewMilliQuantity((a.CPUShares*1000+1023)/1024, resource.DecimalSI), minShares)
	}
}

// set puts what is observed in place of what should be; what is the same, also
// because both are below the kernel's smallest bound, keeps its way of being
// written. Nothing is a limit that is gone, or not there yet.
func set(out corev1.ResourceList, name corev1.ResourceName, is *resource.Quantity, least int64) {
	want, asked := out[name]
	switch {
	case !asked || want.Cmp(*is) == 0:
	case is.IsZero():
		delete(out, name)
	case is.MilliValue() <= least && want.MilliValue() <= least:
	default:
		out[name] = *is
	}
}
