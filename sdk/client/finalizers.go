package client

import (
	"slices"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// ObjectWithMeta is an [Object] whose metadata can be read.
type ObjectWithMeta interface {
	Object
	metav1.Accessor
}

// ContainsFinalizer tells whether the object, as it was read, has the finalizer.
func ContainsFinalizer(obj metav1.Accessor, finalizer string) bool {
	return slices.Contains(obj.GetObjectMeta().Finalizers, finalizer)
}

// AddFinalizer gives the object the finalizer, so that it is not gone before somebody
// removes it again, and updates obj with the result. One that it has already costs no
// write.
//
// # Errors
//   - [IsConflict]: it has changed, or is another one of the name, since obj was read
//   - [IsNotFound]
//   - those of [Client.Patch]; of an object that is being deleted, the API refuses new
//     finalizers as invalid
func AddFinalizer(c Client, obj ObjectWithMeta, finalizer string) error {
	m := obj.GetObjectMeta()
	if slices.Contains(m.Finalizers, finalizer) {
		return nil
	}
	return setFinalizers(c, obj, append(slices.Clone(m.Finalizers), finalizer))
}

// RemoveFinalizer takes the finalizer from the object: one that is being deleted and has
// no other is gone with it. That it is gone already is no error; a finalizer that it
// has not costs no write.
//
// # Errors
//   - [IsConflict]: it has changed, or is another one of the name, since obj was read
//   - those of [Client.Patch]
func RemoveFinalizer(c Client, obj ObjectWithMeta, finalizer string) error {
	m := obj.GetObjectMeta()
	if !slices.Contains(m.Finalizers, finalizer) {
		return nil
	}
	if err := setFinalizers(c, obj, without(m.Finalizers, finalizer)); !IsNotFound(err) {
		return err
	}
	return nil
}

// RemoveFinalizers is [RemoveFinalizer] of many objects in one [Client.Batch]. Each has
// its error at the same index. The objects stay as they were read, so that they may be
// those of a list; what they are now, the next read tells.
//
// # Errors
//   - those of [Client.Batch], of all together
func RemoveFinalizers[T ObjectWithMeta](c Client, objs []T, finalizer string) ([]error, error) {
	var ops []Op
	var at []int
	for i, obj := range objs {
		if ContainsFinalizer(obj, finalizer) {
			m := obj.GetObjectMeta()
			named := &reference{resource: obj.APIResource(), meta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name}}
			ops = append(ops, Op{Verb: VerbPatch, Object: named, Patch: finalizersPatch(m, without(m.Finalizers, finalizer)), Brief: true})
			at = append(at, i)
		}
	}
	out := make([]error, len(objs))
	if len(ops) == 0 {
		return out, nil
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return nil, err
	}
	for j, err := range errs {
		if !IsNotFound(err) {
			out[at[j]] = err
		}
	}
	return out, nil
}

// reference names an object, and is told what became of it instead of it.
type reference struct {
	resource string
	meta     metav1.ObjectMeta
}

func (r *reference) APIResource() string               { return r.resource }
func (r *reference) GetObjectMeta() *metav1.ObjectMeta { return &r.meta }

// setFinalizers replaces the list of the object as it was read.
func setFinalizers(c Client, obj ObjectWithMeta, finalizers []string) error {
	return c.Patch(obj, finalizersPatch(obj.GetObjectMeta(), finalizers))
}

func finalizersPatch(m *metav1.ObjectMeta, finalizers []string) Patch {
	return Patch{Data: map[string]any{"metadata": map[string]any{
		"uid": m.UID, "resourceVersion": m.ResourceVersion, "finalizers": finalizers}}}
}

func without(finalizers []string, finalizer string) []string {
	return slices.DeleteFunc(slices.Clone(finalizers), func(f string) bool { return f == finalizer })
}
