package resourceclaim

import (
	"slices"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// isPod tells that a claim is reserved for a pod. What else it may be reserved for is
// kept: nobody here can tell whether it still uses the claim.
func (r consumer) isPod() bool { return r.APIGroup == "" && r.Resource == "pods" }

// keeps tells whether a reservation still holds. p is the pod of that name; nil when it
// is certain that there is none.
func keeps(r consumer, p *pod) bool { return p != nil && p.UID == r.UID && !p.done() }

// step is what is due of a claim.
type step struct {
	// status: the claim's reservations become these, and with deallocate it has no
	// devices any more.
	status     bool
	remaining  []consumer
	deallocate bool
	// unprotect: nothing needs the claim's finalizer.
	unprotect bool
}

// stepOf decides what becomes of a claim when only remaining are left of those that it
// was reserved for.
//
// A claim is deallocated when the last that uses it goes, so that its devices are free
// and it may be allocated on another node; and when it is deleted. One that nobody has
// used yet keeps its devices: whoever allocates need not reserve in the same write.
func stepOf(c *claim, remaining []consumer) step {
	protected := slices.Contains(c.Finalizers, finalizer)
	switch {
	case len(remaining) < len(c.Status.ReservedFor):
		free := len(remaining) == 0 && protected
		return step{status: true, remaining: remaining, deallocate: free && c.Status.Allocation != nil,
			unprotect: protected && (free || c.Status.Allocation == nil)}
	case protected && c.DeletionTimestamp != nil && len(remaining) == 0:
		return step{status: c.Status.Allocation != nil, deallocate: c.Status.Allocation != nil, unprotect: true}
	}
	return step{}
}

// statusPatch is the patch of the claim's status; it holds for the claim as it was read.
func (s step) statusPatch(c *claim) map[string]any {
	status := map[string]any{"reservedFor": s.remaining}
	if len(s.remaining) == 0 {
		status["reservedFor"] = nil
	}
	if s.deallocate {
		status["allocation"] = nil
	}
	return map[string]any{"metadata": map[string]any{"uid": c.UID, "resourceVersion": c.ResourceVersion}, "status": status}
}

// owningPod is the pod that a claim was made for; nil when it was made by somebody.
func owningPod(c *claim) *metav1.OwnerReference {
	for i := range c.OwnerReferences {
		if r := &c.OwnerReferences[i]; r.Controller != nil && *r.Controller && r.APIVersion == "v1" && r.Kind == "Pod" {
			return r
		}
	}
	return nil
}

// superfluous tells that the pod of a claim, as it is now, will not use it: it has come
// to its end, or another one has its name.
func superfluous(owner *metav1.OwnerReference, p *pod) bool { return p.UID != owner.UID || p.done() }
