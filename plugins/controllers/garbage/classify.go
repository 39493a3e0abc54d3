package garbage

import (
	"slices"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// coordinates are an owner as a dependent names it, seen from a namespace. Two that name
// one uid may differ in the rest, and then only one of them can be right.
type coordinates struct {
	namespace string
	subject
}

// owners looks for owners, for each of the same coordinates once.
type owners struct {
	client client.Client
	gone   string // the uid of an owner that was seen to be deleted
	known  map[coordinates]ownerState
}

func newOwners(c client.Client, s subject) *owners {
	o := &owners{client: c, known: map[coordinates]ownerState{}}
	if s.mode == modeGone {
		o.gone = s.uid
	}
	return o
}

// state of an owner that an object in a namespace names.
func (w *owners) state(ref metav1.OwnerReference, namespace string) (ownerState, error) {
	s := subject{modeCheck, ref.APIVersion, ref.Kind, ref.UID, ref.Name}
	if ref.UID == w.gone {
		s.mode = modeGone
	}
	k := coordinates{namespace, s}
	if state, ok := w.known[k]; ok {
		return state, nil
	}
	state, err := owner(w.client, s, namespace)
	if err == nil {
		w.known[k] = state
	}
	return state, err
}

// standing is what a dependent's owners are, as upstream's classifyReferences sorts them.
type standing struct {
	solid bool     // one exists and stays, or is not known to be gone
	gone  []string // uids of those that do not exist, or not where the dependent looks
	waits []string // of those that are being deleted when their dependents are gone
}

// classify sorts a dependent's owners, each as the dependent names it.
func (w *owners) classify(o *object) (st standing, err error) {
	for _, ref := range o.OwnerReferences {
		state, err := w.state(ref, o.Namespace)
		if err != nil {
			return standing{}, err
		}
		switch state {
		case ownerGone:
			st.gone = append(st.gone, ref.UID)
		case ownerWaits:
			st.waits = append(st.waits, ref.UID)
		default:
			st.solid = true
		}
	}
	return st, nil
}

// lost are the owners that a dependent which stays has no more: those that wait must
// not wait for it.
func (s standing) lost() []string { return slices.Concat(s.gone, s.waits) }

// release takes the references to these uids out of an object.
func release(c client.Client, o *object, uids ...string) error {
	return patchOwners(c, o, slices.DeleteFunc(slices.Clone(o.OwnerReferences), func(r metav1.OwnerReference) bool { return slices.Contains(uids, r.UID) }))
}

// ownerState is what an owner is to its dependents.
type ownerState int

const (
	ownerGone  ownerState = iota
	ownerWaits            // it is being deleted once its dependents are gone
	ownerStays
	ownerUnknown // there is no such kind, or no telling whom the reference means
)

// owner looks for an owner. One whose kind is not known is gone if it was seen to be
// deleted; else it is not known to be: what cannot be looked up must not be taken for
// garbage.
func owner(c client.Client, s subject, namespace string) (ownerState, error) {
	o, err := read(c, s.apiVersion, s.kind, namespace, s.name)
	switch {
	case client.IsNotFound(err):
		return ownerGone, nil
	case client.IsUnsupported(err) && s.mode == modeGone:
		return ownerGone, nil
	case client.IsUnsupported(err):
		return ownerUnknown, nil
	case err != nil:
		return ownerStays, err
	case o.UID != s.uid:
		return ownerGone, nil
	case waits(o):
		return ownerWaits, nil
	}
	return ownerStays, nil
}
