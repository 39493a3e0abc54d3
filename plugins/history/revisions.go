package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// Revisions are those of one object.
type Revisions struct {
	Client client.Client
	// Owner controls the revisions; Kind is what references call it, in apps/v1.
	Owner metav1.Accessor
	Kind  string
	// Selector is the owner's: a revision carries the labels of its template.
	Selector *metav1.LabelSelector
	// HashLabel is the label of a revision that holds its hash; "" is the constant of
	// that name.
	HashLabel string
	// MayAdopt is asked, once, before a revision without an owner is taken: it
	// reads the owner anew, since what was let go just now must not be taken back.
	MayAdopt func() (bool, error)
}

// List answers the revisions of the owner, sorted, after adopting those that
// match and have none. They are shared: the caller must not modify them.
func (r *Revisions) List() ([]*appsv1.ControllerRevision, error) {
	m := r.Owner.GetObjectMeta()
	var mine, orphans []*appsv1.ControllerRevision
	if err := r.Client.List(&mine, client.ListOptions{Namespace: m.Namespace, Owner: client.OwnedBy(m.UID)}); err != nil {
		return nil, err
	}
	mine = slices.DeleteFunc(mine, func(c *appsv1.ControllerRevision) bool {
		return !metav1.IsControlledBy(c, r.Owner) || !r.Selector.Matches(c.Labels)
	})
	if err := r.Client.List(&orphans, client.ListOptions{Namespace: m.Namespace, Owner: client.NoController(), Labels: r.Selector.String()}); err != nil {
		return nil, err
	}
	orphans = slices.DeleteFunc(orphans, func(c *appsv1.ControllerRevision) bool { return c.DeletionTimestamp != nil })
	adopted, err := r.adopt(orphans)
	mine = append(mine, adopted...)
	Sort(mine)
	return mine, err
}

func (r *Revisions) adopt(orphans []*appsv1.ControllerRevision) (adopted []*appsv1.ControllerRevision, err error) {
	if len(orphans) == 0 {
		return nil, nil
	}
	if ok, err := r.MayAdopt(); err != nil || !ok {
		return nil, err
	}
	for _, o := range orphans {
		c := *o
		refs := append(slices.Clone(o.OwnerReferences), metav1.NewControllerRef(r.Owner, "apps/v1", r.Kind))
		err := r.Client.Patch(&c, client.Patch{Data: map[string]any{"metadata": map[string]any{
			"uid": o.UID, "resourceVersion": o.ResourceVersion, "ownerReferences": refs}}})
		switch {
		case err == nil:
			adopted = append(adopted, &c)
		case !client.IsNotFound(err):
			return adopted, fmt.Errorf("adopt controller revision %s: %w", o.Name, err)
		}
	}
	return adopted, nil
}

// Raise gives a revision a new number.
func (r *Revisions) Raise(c *appsv1.ControllerRevision, number int64) (*appsv1.ControllerRevision, error) {
	next := *c
	if err := r.Client.Patch(&next, client.Patch{Data: map[string]any{"metadata": map[string]any{"uid": c.UID}, "revision": number}}); err != nil {
		return nil, fmt.Errorf("number controller revision %s: %w", c.Name, err)
	}
	return &next, nil
}

// Create stores a revision of data and answers it. Another revision of its name,
// which holds something else, makes the next hash differ: collisions, which the
// owner's status keeps, is counted up. labels are those of the template.
func (r *Revisions) Create(data []byte, number int64, labels, annotations map[string]string, collisions *int32) (*appsv1.ControllerRevision, error) {
	m := r.Owner.GetObjectMeta()
	for range 100 {
		hash := Hash(data, *collisions)
		c := &appsv1.ControllerRevision{Data: data, Revision: number}
		c.Name, c.Namespace = Name(m.Name, hash), m.Namespace
		c.Labels, c.Annotations = maps.Clone(labels), maps.Clone(annotations)
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[cmp.Or(r.HashLabel, HashLabel)] = hash
		c.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(r.Owner, "apps/v1", r.Kind)}
		err := r.Client.Create(c)
		if err == nil {
			return c, nil
		}
		if !client.IsAlreadyExists(err) {
			return nil, fmt.Errorf("create controller revision %s: %w", c.Name, err)
		}
		there := &appsv1.ControllerRevision{}
		if gerr := r.Client.Get(there, m.Namespace, Name(m.Name, hash)); gerr != nil {
			return nil, fmt.Errorf("create controller revision %s: %w", Name(m.Name, hash), gerr)
		}
		// Of another owner, however alike, it would go with that one.
		if metav1.IsControlledBy(there, r.Owner) && Equal(there.Data, data) {
			return there, nil
		}
		*collisions++
	}
	return nil, fmt.Errorf("create controller revision of %s: a hundred hashes are taken", m.Name)
}

// Delete removes revisions; one that is gone is none.
func (r *Revisions) Delete(revisions []*appsv1.ControllerRevision) error {
	for _, c := range revisions {
		if err := r.Client.Delete(c, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(c.UID)}); err != nil && !client.IsNotFound(err) {
			return fmt.Errorf("delete controller revision %s: %w", c.Name, err)
		}
	}
	return nil
}
