// Package podspec translates a pod of the API into what the container runtime
// is asked for: sandbox and container configurations, environment, resources,
// security, DNS and /etc/hosts. It is pure: it reads nothing but its
// arguments, so that each rule of the API has a table of cases beside it.
//
// Start reading at Sandbox and Container.
package podspec

import (
	"hash/fnv"
	"path/filepath"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// Containers lists every container of a pod in the order of starting: init,
// then regular, then ephemeral. The result points into pod or, for ephemeral
// containers, at copies; it is not to be changed.
func Containers(pod *corev1.Pod) []*corev1.Container {
	var out []*corev1.Container
	for i := range pod.Spec.InitContainers {
		out = append(out, &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		out = append(out, &pod.Spec.Containers[i])
	}
	for i := range pod.Spec.EphemeralContainers {
		c := corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		out = append(out, &c)
	}
	return out
}

// Find returns the named container, nil when the pod has none of that name.
func Find(pod *corev1.Pod, name string) *corev1.Container {
	for _, c := range Containers(pod) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// IsSidecar reports whether an init container runs beside the regular ones.
func IsSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// IsEphemeral reports whether the pod's container of that name is one for
// debugging.
func IsEphemeral(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name })
}

// LogDirectory is where a pod's logs lie below root.
func LogDirectory(root string, pod *corev1.Pod) string {
	return filepath.Join(root, pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

// LogPath is where the log of an instance lies, below LogDirectory.
func LogPath(container string, restarts int32) string {
	return filepath.Join(container, strconv.Itoa(int(restarts))+".log")
}

// Hash identifies the parts of a container's spec that a change of calls for
// a new instance: its name and image, as upstream.
func Hash(c *corev1.Container) string {
	h := fnv.New32a()
	b, err := json.Marshal(map[string]string{"name": c.Name, "image": c.Image})
	if err != nil {
		return ""
	}
	_, _ = h.Write(b)
	return strconv.FormatUint(uint64(h.Sum32()), 16)
}

// HostNetwork reports whether the pod shares the node's network.
func HostNetwork(pod *corev1.Pod) bool { return pod.Spec.HostNetwork }

// Grace is the time in seconds that a pod's containers get to end: what the
// deletion asks for, else what the spec says, else 30.
func Grace(pod *corev1.Pod) int64 {
	switch {
	case pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil:
		return *pod.DeletionGracePeriodSeconds
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return *pod.Spec.TerminationGracePeriodSeconds
	}
	return 30
}

// Final reports whether the pod's phase will not change any more.
func Final(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
