package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/cgroup"
)

// Bounds of the kernel's CPU controls.
const (
	minShares = 2
	maxShares = 262144
	minQuota  = 1000 // microseconds
)

// Scores for the kernel's out-of-memory killer, upstream's.
const (
	oomGuaranteed = -997
	oomBestEffort = 1000
	oomCritical   = -997
)

// QOS is the pod's quality of service class: Guaranteed when every container
// has limits for CPU and memory that its requests equal, BestEffort when none
// has any, Burstable in between.
func QOS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass // it does not change
	}
	any, guaranteed := false, true
	check := func(r *corev1.ResourceRequirements) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, request := r.Limits[name], r.Requests[name]
			if !limit.IsZero() || !request.IsZero() {
				any = true
			}
			if limit.IsZero() || !request.IsZero() && limit.Cmp(request) != 0 {
				guaranteed = false
			}
		}
	}
	if pod.Spec.Resources != nil {
		check(pod.Spec.Resources)
	} else {
		for i := range pod.Spec.InitContainers {
			check(&pod.Spec.InitContainers[i].Resources)
		}
		for i := range pod.Spec.Containers {
			check(&pod.Spec.Containers[i].Resources)
		}
	}
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

func shares(milliCPU int64) int64 {
	return min(max(milliCPU*1024/1000, minShares), maxShares)
}

func quota(milliCPU int64) int64 {
	if milliCPU == 0 {
		return 0
	}
	return max(milliCPU*cgroup.CPUPeriod/1000, minQuota)
}

// request is what a container asks for; without a request its limit counts.
func request(c *corev1.Container, name corev1.ResourceName) resource.Quantity {
	if q, ok := c.Resources.Requests[name]; ok {
		return q
	}
	return c.Resources.Limits[name]
}

// containerResources are the limits that the runtime sets on a container.
// memory is the node's capacity in bytes.
func containerResources(pod *corev1.Pod, c *corev1.Container, memory int64) *runtimeapi.LinuxContainerResources {
	cpu := request(c, corev1.ResourceCPU)
	return &runtimeapi.LinuxContainerResources{
		CpuShares:          shares(cpu.MilliValue()),
		CpuPeriod:          cgroup.CPUPeriod,
		CpuQuota:           quota(c.Resources.Limits.Cpu().MilliValue()),
		MemoryLimitInBytes: c.Resources.Limits.Memory().Value(),
		OomScoreAdj:        oomScore(pod, c, memory),
	}
}

// oomScore makes the kernel kill best effort pods first, and among burstable
// ones those that use most beyond their request.
func oomScore(pod *corev1.Pod, c *corev1.Container, memory int64) int64 {
	if pod.Spec.Priority != nil && *pod.Spec.Priority >= 2_000_000_000 {
		return oomCritical // system-cluster-critical and above
	}
	switch QOS(pod) {
	case corev1.PodQOSGuaranteed:
		return oomGuaranteed
	case corev1.PodQOSBestEffort:
		return oomBestEffort
	}
	if memory <= 0 {
		return oomBestEffort - 1
	}
	request := c.Resources.Requests.Memory().Value()
	// Above a guaranteed pod's score at least, below a best effort pod's.
	return min(max(1000-1000*request/memory, 1000+oomGuaranteed), oomBestEffort-1)
}

// Room that the sandbox and the runtime's own helper processes need inside of
// a pod's cgroup beside its containers.
const (
	runtimePIDs   = 64
	runtimeMemory = 32 << 20
)

// PodLimits are the limits of the pod's cgroup. pids is the node's limit of
// tasks per pod, 0 for none. A pod is bounded in memory or CPU as a whole only
// if all of its containers are.
func PodLimits(pod *corev1.Pod, pids int64) cgroup.Limits {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	out := cgroup.Limits{CPUShares: shares(requests.Cpu().MilliValue())}
	if pids > 0 {
		out.PIDs = pids + runtimePIDs
	}
	if bounded(pod, corev1.ResourceMemory) {
		out.Memory = limits.Memory().Value() + runtimeMemory
	}
	if bounded(pod, corev1.ResourceCPU) {
		out.CPUQuota = quota(limits.Cpu().MilliValue())
	}
	return out
}

func bounded(pod *corev1.Pod, name corev1.ResourceName) bool {
	if pod.Spec.Resources != nil {
		if q, ok := pod.Spec.Resources.Limits[name]; ok {
			return !q.IsZero()
		}
	}
	for i := range pod.Spec.Containers {
		if q := pod.Spec.Containers[i].Resources.Limits[name]; q.IsZero() {
			return false
		}
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if q := c.Resources.Limits[name]; IsSidecar(c) && q.IsZero() {
			return false
		}
	}
	return true
}
