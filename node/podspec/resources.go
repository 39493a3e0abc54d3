package podspec

import (
	"maps"
	"slices"

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
)

// nodeCritical is the priority class of pods that a node does not work without.
const nodeCritical = "system-node-critical"

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

// Effective are the resources that bound a container: its own and, where it has
// no limit of CPU or memory, that of the pod as a whole.
func Effective(pod *corev1.Pod, c *corev1.Container) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{Requests: c.Resources.Requests, Limits: c.Resources.Limits}
	if pod.Spec.Resources == nil {
		return out
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		own, whole := out.Limits[name], pod.Spec.Resources.Limits[name]
		if !own.IsZero() || whole.IsZero() {
			continue
		}
		out.Limits = maps.Clone(out.Limits)
		if out.Limits == nil {
			out.Limits = corev1.ResourceList{}
		}
		out.Limits[name] = whole
	}
	return out
}

// request is what is asked for; without a request the limit counts.
func request(r *corev1.ResourceRequirements, name corev1.ResourceName) resource.Quantity {
	if q, ok := r.Requests[name]; ok {
		return q
	}
	return r.Limits[name]
}

// oomGroup makes the kernel kill a container that runs out of memory as a
// whole: the death of one process in it would leave the others half alive,
// with nobody told.
const oomGroup = "memory.oom.group"

// ContainerResources are the limits that the runtime sets on a container.
func ContainerResources(pod *corev1.Pod, c *corev1.Container, node *Node) *runtimeapi.LinuxContainerResources {
	r := Effective(pod, c)
	cpu := request(&r, corev1.ResourceCPU)
	out := &runtimeapi.LinuxContainerResources{
		CpuShares:          shares(cpu.MilliValue()),
		CpuPeriod:          cgroup.CPUPeriod,
		CpuQuota:           quota(r.Limits.Cpu().MilliValue()),
		MemoryLimitInBytes: r.Limits.Memory().Value(),
		OomScoreAdj:        oomScore(pod, c, node.Memory),
	}
	if node.UnifiedCgroups {
		out.Unified = map[string]string{oomGroup: "1"} // runtimes refuse it elsewhere
	}
	return out
}

// oomScore makes the kernel kill best effort pods first, and among burstable
// ones those that use most beyond their request.
func oomScore(pod *corev1.Pod, c *corev1.Container, memory int64) int64 {
	if pod.Spec.PriorityClassName == nodeCritical {
		return oomGuaranteed
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
	if isInit(pod, c) && IsSidecar(c) {
		// A sidecar is not killed before the containers that it serves.
		least := pod.Spec.Containers[0].Resources.Requests.Memory().Value()
		for i := range pod.Spec.Containers {
			least = min(least, pod.Spec.Containers[i].Resources.Requests.Memory().Value())
		}
		request = max(request, least)
	}
	request += unclaimed(pod)
	// Above a guaranteed pod's score at least, below a best effort pod's.
	return min(max(1000-1000*request/memory, 1000+oomGuaranteed), oomBestEffort-1)
}

// unclaimed is each container's share of the memory that the pod requests as a
// whole beyond what its containers request.
func unclaimed(pod *corev1.Pod) int64 {
	if pod.Spec.Resources == nil {
		return 0
	}
	whole := pod.Spec.Resources.Requests.Memory().Value()
	claimed := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	return max(whole-claimed.Memory().Value(), 0) / int64(len(pod.Spec.Containers)+len(pod.Spec.InitContainers))
}

func isInit(pod *corev1.Pod, c *corev1.Container) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == c.Name })
}

// Room that the sandbox and the runtime's own helper processes need inside of
// a pod's cgroup beside its containers.
const (
	runtimePIDs   = 64
	runtimeMemory = 32 << 20
)

// PodLimits are the limits of the pod's cgroup. pids is the node's limit of
// tasks per pod, 0 for none. A pod is bounded in memory or CPU as a whole only
// if all of its containers are, init containers too: one without a limit runs
// in the same group.
func PodLimits(pod *corev1.Pod, pids int64) cgroup.Limits {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	limits := podLimits(pod)
	out := cgroup.Limits{CPUShares: shares(requests.Cpu().MilliValue())}
	if pids > 0 {
		out.PIDs = pids + runtimePIDs
	}
	if memory := MemoryLimit(pod); memory > 0 {
		out.Memory = memory + runtimeMemory
	}
	if bounded(pod, corev1.ResourceCPU) {
		out.CPUQuota = quota(limits.Cpu().MilliValue())
	}
	return out
}

func podLimits(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
}

// MemoryLimit is what all of the pod's containers together may use, in bytes;
// 0 for no limit.
func MemoryLimit(pod *corev1.Pod) int64 {
	if !bounded(pod, corev1.ResourceMemory) {
		return 0
	}
	limits := podLimits(pod)
	return limits.Memory().Value()
}

func bounded(pod *corev1.Pod, name corev1.ResourceName) bool {
	if pod.Spec.Resources != nil {
		if q := pod.Spec.Resources.Limits[name]; !q.IsZero() {
			return true
		}
	}
	unbounded := func(c corev1.Container) bool {
		q := c.Resources.Limits[name]
		return q.IsZero()
	}
	return !slices.ContainsFunc(pod.Spec.InitContainers, unbounded) && !slices.ContainsFunc(pod.Spec.Containers, unbounded)
}
