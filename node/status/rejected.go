package status

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// Rejected is the status of a pod that the node does not take up: it has
// failed before anything of it ran.
func Rejected(pod *corev1.Pod, reason, message string, now time.Time) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	s.QOSClass, s.ObservedGeneration = podspec.QOS(pod), pod.Generation
	s.Phase, s.Reason, s.Message = corev1.PodFailed, reason, message
	if s.StartTime == nil {
		at := metav1.NewTime(now.Truncate(time.Second))
		s.StartTime = &at
	}
	return s
}
