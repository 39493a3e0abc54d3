package garbage

import (
	"errors"
	"fmt"
	"slices"

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

// hasDependents tells whether something names the object as its owner.
func hasDependents(c client.Client, o *object) (bool, error) {
	var some []*object
	q := client.ListOptions{Resource: client.AllResources, Namespace: o.Namespace, Fields: "collected=true", Owner: client.OwnedBy(o.UID), Limit: 1}
	if err := c.List(&some, q); err != nil {
		return false, fmt.Errorf("list dependents: %w", err)
	}
	return len(some) > 0, nil
}

// collect deletes the dependents of an owner that is gone and have no other that
// stays; one that has only loses the references that lead nowhere. Each is judged by its
// own references: another may have named the owner wrongly.
func collect(c client.Client, s subject, namespace string) error {
	deps, err := dependents(c, s.uid, namespace)
	if err != nil || len(deps) == 0 {
		return err
	}
	known := newOwners(c, s)
	var ops []client.Op
	var failed error
	for _, o := range deps {
		if o.DeletionTimestamp != nil {
			continue
		}
		st, err := known.classify(o)
		switch {
		case err != nil:
			return err
		case len(st.lost()) == 0:
		case st.solid:
			failed = errors.Join(failed, release(c, o, st.lost()...))
		case len(st.gone) > 0:
			op, err := known.removal(o, st)
			if err != nil {
				return err
			}
			ops = append(ops, op)
		}
	}
	return errors.Join(failed, run(c, ops))
}

// removal deletes a dependent that no owner keeps: in the foreground if one of them
// waits for it and it has dependents itself, else as its own finalizers ask.
func (w *owners) removal(o *object, st standing) (client.Op, error) {
	if len(st.waits) == 0 {
		return remove(o, manner(o)), nil
	}
	has, err := hasDependents(w.client, o)
	if err != nil || !has {
		return remove(o, manner(o)), err
	}
	return remove(o, "Foreground"), nil
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

// run deletes; one that fails does not keep the others, and the first error is told.
func run(c client.Client, ops []client.Op) (failed error) {
	for part := range slices.Chunk(ops, 250) {
		errs, err := c.Batch(part, false)
		if err != nil {
			return err
		}
		for i, err := range errs {
			if err != nil && !client.IsNotFound(err) && failed == nil {
				failed = fmt.Errorf("delete %s: %w", part[i].Object.APIResource(), err)
			}
		}
	}
	return failed
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
		var failed error
		for _, d := range deps { // one that changes meanwhile does not keep the others
			if err := release(c, d, o.UID); err != nil {
				failed = fmt.Errorf("orphan %s %s: %w", d.Kind, d.Name, err)
			}
		}
		if failed != nil {
			return controller.Result{}, failed
		}
		return controller.Result{}, drop(c, o, orphan)
	case slices.Contains(o.Finalizers, foreground):
		return deleteForeground(c, o, deps)
	}
	return controller.Result{}, nil
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
