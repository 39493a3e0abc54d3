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
	rest := slices.DeleteFunc(slices.Clone(m.Finalizers), func(f string) bool { return f == finalizer })
	if err := setFinalizers(c, obj, rest); !IsNotFound(err) {
		return err
	}
	return nil
}

// setFinalizers replaces the list of the object as it was read.
func setFinalizers(c Client, obj ObjectWithMeta, finalizers []string) error {
	m := obj.GetObjectMeta()
	return c.Patch(obj, Patch{Data: map[string]any{"metadata": map[string]any{
		"uid": m.UID, "resourceVersion": m.ResourceVersion, "finalizers": finalizers}}})
}
