package statefulset

import (
	"maps"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// holder is the pod that claims are of; its uid is "" before it is made.
type holder struct {
	name, uid string
	condemned bool // the set asks for it no more
}

func is(ref metav1.OwnerReference, apiVersion, kind, name string) bool {
	return ref.APIVersion == apiVersion && ref.Kind == kind && ref.Name == name
}

// controls tells whether an owner is the controlling one.
func controls(ref metav1.OwnerReference) bool { return ref.Controller != nil && *ref.Controller }

// ownership is how the owners of a claim stand to what the retention policy of
// its set wants (KEP-1847).
type ownership struct {
	set *appsv1.StatefulSet
	of  holder
}

func (o ownership) ofSet(ref metav1.OwnerReference) bool {
	return is(ref, apiVersion, kind, o.set.Name)
}
func (o ownership) ofPod(ref metav1.OwnerReference) bool { return is(ref, "v1", "Pod", o.of.name) }

// policy tells what a claim goes with.
func policy(set *appsv1.StatefulSet) (withSet, withPod bool) {
	p := set.Spec.PersistentVolumeClaimRetentionPolicy
	if p == nil {
		return false, false
	}
	return p.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType, p.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
}

// wants tells which owners a claim is to have. While the pod is wanted the set
// owns the claim; once it is not, the pod does, so that both go together.
func (o ownership) wants() (set, pod bool) {
	withSet, withPod := policy(o.set)
	pod = withPod && o.of.condemned
	return withSet && !pod, pod
}

// stale tells that a claim belongs to an earlier pod of the name, with which it
// will go.
func (o ownership) stale(refs []metav1.OwnerReference) bool {
	return slices.ContainsFunc(refs, func(r metav1.OwnerReference) bool { return o.ofPod(r) && r.UID != o.of.uid })
}

// foreign tells that somebody else controls a claim that the policy could
// delete, an earlier set or pod of the name among them.
func (o ownership) foreign(refs []metav1.OwnerReference) bool {
	if withSet, withPod := policy(o.set); !withSet && !withPod {
		return false
	}
	return slices.ContainsFunc(refs, func(r metav1.OwnerReference) bool {
		switch {
		case o.ofSet(r):
			return r.UID != o.set.UID
		case o.ofPod(r):
			return r.UID != o.of.uid
		}
		return controls(r)
	})
}

// correct is the owners that a claim is to have; ok tells that it has them, or
// that they are not to be touched.
func (o ownership) correct(refs []metav1.OwnerReference) (next []metav1.OwnerReference, ok bool) {
	var bySet, byPod, plain, stale bool
	for _, r := range refs {
		stale = stale || o.ofSet(r) && r.UID != o.set.UID || o.ofPod(r) && r.UID != o.of.uid
		set, pod := r.UID == o.set.UID, r.UID == o.of.uid && r.UID != ""
		bySet, byPod = bySet || set, byPod || pod
		plain = plain || (set || pod) && !controls(r)
	}
	wantSet, wantPod := o.wants()
	if o.foreign(refs) {
		wantSet, wantPod = false, false
	}
	if stale || !plain && bySet == wantSet && byPod == wantPod {
		return nil, true
	}
	next = slices.DeleteFunc(slices.Clone(refs), func(r metav1.OwnerReference) bool { return o.ofSet(r) || o.ofPod(r) })
	return append(next, o.refs(wantSet, wantPod)...), false
}

func (o ownership) refs(set, pod bool) (out []metav1.OwnerReference) {
	if set {
		out = append(out, metav1.NewControllerRef(o.set, apiVersion, kind))
	}
	if pod {
		p := &metav1.ObjectMeta{Name: o.of.name, UID: o.of.uid}
		out = append(out, metav1.NewControllerRef(p, "v1", "Pod"))
	}
	return out
}

// newClaim is the claim of a template for a pod that is to be made, with its
// owners.
func newClaim(set *appsv1.StatefulSet, t *corev1.PersistentVolumeClaim, ordinal int) *corev1.PersistentVolumeClaim {
	c := client.Clone(t)
	c.Name, c.Namespace = claimOf(set, t.Name, ordinal), set.Namespace
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	if set.Spec.Selector != nil {
		maps.Copy(c.Labels, set.Spec.Selector.MatchLabels)
	}
	o := ownership{set: set, of: holder{name: podName(set, ordinal)}}
	wantSet, _ := o.wants()
	c.OwnerReferences = append(c.OwnerReferences, o.refs(wantSet, false)...)
	return c
}
