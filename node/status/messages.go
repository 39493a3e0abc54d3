package status

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxMessages bounds the termination messages of one pod in sum, in bytes, as
// upstream: every watcher of the pod gets them again with each change.
const maxMessages = 12 << 10

// shareMessages cuts termination messages to what is each container's equal
// share.
func shareMessages(pod *corev1.Pod, s *corev1.PodStatus) {
	n := len(pod.Spec.InitContainers) + len(pod.Spec.Containers) + len(pod.Spec.EphemeralContainers)
	if n == 0 {
		return
	}
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			cut(&list[i].State, maxMessages/n)
			cut(&list[i].LastTerminationState, maxMessages/n)
		}
	}
}

// cut replaces a state whose message is too long: it may be the API's.
func cut(s *corev1.ContainerState, limit int) {
	if s.Terminated == nil || len(s.Terminated.Message) <= limit {
		return
	}
	t := *s.Terminated
	t.Message = strings.ToValidUTF8(t.Message[:limit], "") // without the half of a character
	s.Terminated = &t
}
