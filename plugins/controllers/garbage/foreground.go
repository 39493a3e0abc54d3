package garbage

import (
	"slices"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// deleteForeground deletes the dependents and lets the owner go when none of those
// that block it is left. Owners in a circle would wait for one another for
// ever: a dependent that waits for its own and is an owner of this one, however
// many are between them, does not block it.
func deleteForeground(c client.Client, o *object, deps []*object) (controller.Result, error) {
	above, err := ancestors(c, o)
	if err != nil {
		return controller.Result{}, err
	}
	known := newOwners(c, subject{})
	var ops []client.Op
	blocked := 0
	for _, d := range deps {
		if d.DeletionTimestamp == nil {
			op, kept, err := known.dependentOf(o, d)
			if err != nil {
				return controller.Result{}, err
			}
			if kept {
				continue
			}
			ops = append(ops, op)
		}
		if blocks(d, o.UID) && waits(d) && above[d.UID] {
			if err := unblock(c, d, o.UID); err != nil {
				return controller.Result{}, err
			}
		}
		if blocks(d, o.UID) {
			blocked++
		}
	}
	if err := run(c, ops); err != nil {
		return controller.Result{}, err
	}
	if blocked > 0 {
		return controller.Result{RequeueAfter: pause + time.Duration(blocked)*each}, nil
	}
	return controller.Result{}, drop(c, o, foreground)
}

// dependentOf is how a dependent of o, which waits for it, goes; kept: it does not, as
// another owner stays, and o is none any more.
func (w *owners) dependentOf(o, d *object) (op client.Op, kept bool, err error) {
	st, err := w.classify(d)
	if err != nil {
		return client.Op{}, false, err
	}
	if st.solid {
		return client.Op{}, true, release(w.client, d, append(st.lost(), o.UID)...)
	}
	op, err = w.removal(d, st)
	return op, false, err
}

func blocks(d *object, uid string) bool {
	for _, r := range d.OwnerReferences {
		if r.UID == uid && r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion {
			return true
		}
	}
	return false
}

// maxAncestors bounds how many owners above an object are looked at. Chains
// are two or three long; a circle that is longer than this keeps blocking.
const maxAncestors = 1000

// ancestors are the uids of an object's owners, their owners, and so on, as
// far as they exist. An object in a circle is among its own.
func ancestors(c client.Client, o *object) (map[string]bool, error) {
	out := map[string]bool{}
	for next := []*object{o}; len(next) > 0 && len(out) < maxAncestors; {
		x := next[0]
		next = next[1:]
		for _, ref := range x.OwnerReferences {
			if out[ref.UID] {
				continue
			}
			owner, err := read(c, ref.APIVersion, ref.Kind, x.Namespace, ref.Name)
			switch {
			case client.IsNotFound(err), client.IsUnsupported(err):
			case err != nil:
				return nil, err
			case owner.UID == ref.UID:
				out[ref.UID] = true
				next = append(next, owner)
			}
		}
	}
	return out, nil
}

// waits tells that an object is being deleted and stays until its dependents
// are gone.
func waits(o *object) bool {
	return o.DeletionTimestamp != nil && slices.Contains(o.Finalizers, foreground)
}

// unblock has the owner no longer wait for an object that names it.
func unblock(c client.Client, o *object, uid string) error {
	refs := slices.Clone(o.OwnerReferences)
	no := false
	for i := range refs {
		if refs[i].UID == uid {
			refs[i].BlockOwnerDeletion = &no
		}
	}
	return patchOwners(c, o, refs)
}

// patchOwners writes the owners of an object that is as it was read; one that
// is gone needs none.
func patchOwners(c client.Client, o *object, refs []metav1.OwnerReference) error {
	if refs == nil {
		refs = []metav1.OwnerReference{}
	}
	patch := map[string]any{"metadata": map[string]any{"uid": o.UID, "resourceVersion": o.ResourceVersion, "ownerReferences": refs}}
	err := c.Patch(o, client.Patch{Data: patch})
	if client.IsNotFound(err) {
		return nil
	}
	return err
}
