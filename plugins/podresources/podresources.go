// Package podresources adds up what a pod needs of what its containers need. The rules of
// LimitRanges and of resizes and the arithmetic of quotas share it, so that all come to the
// same sums.
package podresources

import (
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// Init is what an init container needs.
type Init struct {
	corev1.ResourceList
	// Sidecar: it goes on beside all that start after it (restartPolicy Always, KEP-753).
	Sidecar bool
}

// Total is what a pod needs at most at any time: its containers and sidecars together,
// or an init container with the sidecars that were started before it. inits are in the
// order in which they start. The result is the caller's, and shares nothing.
func Total(containers []corev1.ResourceList, inits []Init) corev1.ResourceList {
	sum, sidecars, start := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	for _, list := range containers {
		Add(sum, list)
	}
	for _, c := range inits {
		if c.Sidecar {
			Add(sum, c.ResourceList)
			Add(sidecars, c.ResourceList)
			Raise(start, sidecars)
			continue
		}
		now := corev1.ResourceList{}
		Add(now, c.ResourceList)
		Add(now, sidecars)
		Raise(start, now)
	}
	Raise(sum, start)
	return sum
}

// Add adds more to a list that is not nil.
func Add(to, more corev1.ResourceList) {
	for name, q := range more {
		if old, ok := to[name]; ok {
			q = old.Add(q)
		}
		to[name] = q
	}
}

// Raise makes a list that is not nil at least what another is, resource by resource.
func Raise(to, least corev1.ResourceList) {
	for name, q := range least {
		if old, ok := to[name]; !ok || q.Cmp(old) > 0 {
			to[name] = q
		}
	}
}
