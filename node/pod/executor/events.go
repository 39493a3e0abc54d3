package executor

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/pintle-io/pintle/node/podspec"
)

// Events tells the API's users what happened to pods.
type Events struct{ Recorder record.EventRecorder }

// Tell records an event about a pod, or about one of its containers. It does
// not wait; the recorder merges repetitions and bounds their rate.
func (e Events) Tell(pod *corev1.Pod, container, kind, reason, message string) {
	e.Recorder.Event(Reference(pod, container), kind, reason, message)
}

// Reference names a pod, or a container of it, as events do.
func Reference(pod *corev1.Pod, container string) *corev1.ObjectReference {
	ref := &corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name,
		UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	if container == "" {
		return ref
	}
	for field, list := range map[string][]corev1.Container{"initContainers": pod.Spec.InitContainers, "containers": pod.Spec.Containers} {
		for _, c := range list {
			if c.Name == container {
				ref.FieldPath = fmt.Sprintf("spec.%s{%s}", field, container)
				return ref
			}
		}
	}
	if podspec.Find(pod, container) != nil {
		ref.FieldPath = fmt.Sprintf("spec.ephemeralContainers{%s}", container)
	}
	return ref
}
