package garbage

import (
	"fmt"
	"slices"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// dependents lists the objects that name the owner. An owner in a namespace
// has dependents only there.
func dependents(c client.Client, uid, namespace string) ([]*object, error) {
	var out []*object
	o := client.ListOptions{Resource: client.AllResources, Namespace: namespace, Fields: "collected=true", Owner: client.OwnedBy(uid)}
	if err := c.List(&out, o); err != nil {
		return nil, fmt.Errorf("list dependents: %w", err)
	}
	return out, nil
}

// collect deletes the dependents of an owner that is gone, once it has looked
// that it is. One that has another owner which stays only loses the reference.
func collect(c client.Client, s subject, namespace string) error {
	deps, err := dependents(c, s.uid, namespace)
	if err != nil || len(deps) == 0 {
		return err
	}
	// Whatever was told of the owner: what is deleted wrongly does not come back.
	if state, err := owner(c, s, namespace); err != nil || state != ownerGone {
		return err
	}
	var ops []client.Op
	for _, o := range deps {
		if o.DeletionTimestamp != nil {
			continue
		}
		kept, err := otherOwner(c, o, s.uid)
		if err != nil {
			return err
		}
		if kept {
			if err := release(c, o, s.uid); err != nil {
				return err
			}
			continue
		}
		ops = append(ops, remove(o, manner(o)))
	}
	return run(c, ops)
}

// remove deletes an object as it was read: its owners may have changed since.
func remove(o *object, propagation string) client.Op {
	return client.Op{Verb: client.VerbDelete, Object: o, Delete: client.DeleteOptions{Propagation: propagation,
		Preconditions: &client.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion}}}
}

// manner is how a dependent is deleted in the background: as its own
// finalizers ask.
func manner(o *object) string {
	switch {
	case slices.Contains(o.Finalizers, orphan):
		return "Orphan"
	case slices.Contains(o.Finalizers, foreground):
		return "Foreground"
	}
	return "Background"
}

// otherOwner tells whether an owner other than uid stays: it exists, or is not known
// to be gone, and is not itself waiting for its dependents to go.
func otherOwner(c client.Client, o *object, uid string) (bool, error) {
	for _, ref := range o.OwnerReferences {
		if ref.UID == uid {
			continue
		}
		state, err := owner(c, subject{apiVersion: ref.APIVersion, kind: ref.Kind, uid: ref.UID, name: ref.Name}, o.Namespace)
		if err != nil || state == ownerStays || state == ownerUnknown {
			return err == nil, err
		}
	}
	return false, nil
}

// release takes the reference to uid out of an object.
func release(c client.Client, o *object, uid string) error {
	return patchOwners(c, o, slices.DeleteFunc(slices.Clone(o.OwnerReferences), func(r metav1.OwnerReference) bool { return r.UID == uid }))
}

func run(c client.Client, ops []client.Op) error {
	for part := range slices.Chunk(ops, 250) {
		errs, err := c.Batch(part, false)
		if err != nil {
			return err
		}
		for i, err := range errs {
			if err != nil && !client.IsNotFound(err) {
				return fmt.Errorf("delete %s: %w", part[i].Object.APIResource(), err)
			}
		}
	}
	return nil
}

// finalize carries out the finalizer of an object that is being deleted.
func finalize(c client.Client, s subject, namespace string) (controller.Result, error) {
	o, err := read(c, s.apiVersion, s.kind, namespace, s.name)
	if err != nil {
		if client.IsNotFound(err) || client.IsUnsupported(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if o.UID != s.uid || o.DeletionTimestamp == nil {
		return controller.Result{}, nil
	}
	deps, err := dependents(c, o.UID, namespace)
	if err != nil {
		return controller.Result{}, err
	}
	switch {
	case slices.Contains(o.Finalizers, orphan):
		for _, d := range deps {
			if err := release(c, d, o.UID); err != nil {
				return controller.Result{}, err
			}
		}
		return controller.Result{}, drop(c, o, orphan)
	case slices.Contains(o.Finalizers, foreground):
		return deleteForeground(c, o, deps)
	}
	return controller.Result{}, nil
}

// deleteForeground deletes the dependents and lets the owner go when none of those
// that block it is left. Owners in a circle would wait for one another for
// ever: a dependent that waits for its own and is an owner of this one, however
// many are between them, does not block it.
func deleteForeground(c client.Client, o *object, deps []*object) (controller.Result, error) {
	above, err := ancestors(c, o)
	if err != nil {
		return controller.Result{}, err
	}
	var ops []client.Op
	blocked := false
	for _, d := range deps {
		kept, err := otherOwner(c, d, o.UID)
		if err != nil {
			return controller.Result{}, err
		}
		if kept {
			if err := release(c, d, o.UID); err != nil {
				return controller.Result{}, err
			}
			continue
		}
		if blocks(d, o.UID) && waits(d) && above[d.UID] {
			if err := unblock(c, d, o.UID); err != nil {
				return controller.Result{}, err
			}
		}
		blocked = blocked || blocks(d, o.UID)
		if d.DeletionTimestamp == nil {
			ops = append(ops, remove(d, "Foreground"))
		}
	}
	if err := run(c, ops); err != nil {
		return controller.Result{}, err
	}
	if blocked {
		return controller.Result{RequeueAfter: pause}, nil
	}
	return controller.Result{}, drop(c, o, foreground)
}

func blocks(d *object, uid string) bool {
	for _, r := range d.OwnerReferences {
		if r.UID == uid && r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion {
			return true
		}
	}
	return false
}

// drop removes a finalizer.
func drop(c client.Client, o *object, finalizer string) error {
	keep := slices.DeleteFunc(slices.Clone(o.Finalizers), func(f string) bool { return f == finalizer })
	if keep == nil {
		keep = []string{}
	}
	patch := map[string]any{"metadata": map[string]any{"uid": o.UID, "resourceVersion": o.ResourceVersion, "finalizers": keep}}
	err := c.Patch(o, client.Patch{Data: patch})
	if client.IsNotFound(err) {
		return nil
	}
	return err
}
