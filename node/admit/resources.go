package admit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/pintle-io/pintle/node/podspec"
)

// resources refuses a pod for which there is no room. What a pod takes is
// counted as the scheduler counts it.
func resources(pod *corev1.Pod, others []*corev1.Pod, node *Node) *Refusal {
	have := allocatable(node)
	if r := short(corev1.ResourcePods, 1, int64(len(others)), have.Pods().Value()); r != nil {
		return r
	}
	want := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	taken := corev1.ResourceList{}
	for _, p := range others {
		// While a resize is under way a pod takes the larger of what it has
		// and what it was granted.
		for name, q := range resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true}) {
			sum := taken[name]
			sum.Add(q)
			taken[name] = sum
		}
	}
	for _, name := range inOrder(want) {
		q := want[name]
		if _, ok := have[name]; !ok && podspec.ExtendedResource(name) {
			continue // such as a resource of the cluster, which no node has
		}
		if r := short(name, amount(name, q), amount(name, taken[name]), amount(name, have[name])); r != nil {
			return r
		}
	}
	return nil
}

// allocatable is what the node gives, with what others advertise on it.
func allocatable(node *Node) corev1.ResourceList {
	out := maps.Clone(node.Allocatable)
	for name, q := range node.Object.Status.Allocatable {
		if _, ok := out[name]; !ok && podspec.ExtendedResource(name) {
			out[name] = q
		}
	}
	return out
}

// short refuses what asks for more than is left.
func short(name corev1.ResourceName, want, used, capacity int64) *Refusal {
	if want == 0 || want <= capacity-used {
		return nil
	}
	return &Refusal{Reason: outOf + string(name), Message: fmt.Sprintf(
		"Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", name, want, used, capacity)}
}

// amount is in thousandths of a CPU, in bytes or in pieces.
func amount(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// inOrder lists CPU, memory and storage before all others, so that the same
// reason is told every time.
func inOrder(l corev1.ResourceList) []corev1.ResourceName {
	first := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}
	out := slices.Clone(first)
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if !slices.Contains(first, name) && counted(name) {
			out = append(out, name)
		}
	}
	return out
}

// counted reports whether nodes count a resource at all.
func counted(name corev1.ResourceName) bool {
	s := string(name)
	return strings.Contains(s, "/") || strings.HasPrefix(s, corev1.ResourceHugePagesPrefix) ||
		strings.HasPrefix(s, corev1.ResourceAttachableVolumesPrefix)
}
