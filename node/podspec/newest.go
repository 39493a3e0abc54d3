package podspec

import corev1 "k8s.io/api/core/v1"

// Newer reports whether a is to be meant, and not b, by whoever names a pod
// that both are: a successor may come up while its predecessor of the same name
// is still ending.
func Newer(a, b *corev1.Pod) bool {
	if gone := a.DeletionTimestamp != nil; gone != (b.DeletionTimestamp != nil) {
		return !gone
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return b.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	return a.UID > b.UID // any, but always the same
}

// Named is the pod that a name means, or the one with the given UID if that is
// not empty; nil when there is none.
func Named(pods []*corev1.Pod, namespace, name, uid string) *corev1.Pod {
	var found *corev1.Pod
	for _, p := range pods {
		if p.Namespace == namespace && p.Name == name && (uid == "" || uid == string(p.UID)) && (found == nil || Newer(p, found)) {
			found = p
		}
	}
	return found
}
