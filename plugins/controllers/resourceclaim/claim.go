package resourceclaim

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk/client"
)

// reconcileClaim takes back the reservations of pods that are done, and what nobody
// needs: the devices, the finalizer, and a claim whose pod has come to its end.
func reconcileClaim(c client.Client, namespace, name string) error {
	o := &claim{}
	if err := c.Get(o, namespace, name); err != nil {
		return unlessGone(err)
	}
	remaining := make([]consumer, 0, len(o.Status.ReservedFor))
	for _, r := range o.Status.ReservedFor {
		if r.isPod() {
			p, err := podNow(c, namespace, r.Name, r.UID)
			if err != nil {
				return err
			}
			if !keeps(r, p) {
				continue
			}
		}
		remaining = append(remaining, r)
	}
	if err := execute(c, o, stepOf(o, remaining)); err != nil {
		return unlessGone(err)
	}
	if len(remaining) > 0 || o.DeletionTimestamp != nil {
		return nil
	}
	return deleteSuperfluous(c, o)
}

func execute(c client.Client, o *claim, s step) error {
	if s.status {
		if err := c.Patch(o, client.Patch{Data: s.statusPatch(o), Subresource: "status"}); err != nil {
			return err
		}
	}
	if s.unprotect {
		return client.RemoveFinalizer(c, o, finalizer)
	}
	return nil
}

// deleteSuperfluous deletes a claim that was made for a pod which is done: the garbage
// collector would not before the pod is gone. When it is gone, that is left to it.
func deleteSuperfluous(c client.Client, o *claim) error {
	owner := owningPod(o)
	if owner == nil {
		return nil
	}
	p, err := podNow(c, o.Namespace, owner.Name, owner.UID)
	if err != nil || p == nil || !superfluous(owner, p) {
		return err
	}
	if err := c.Delete(o, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(o.UID)}); unlessGone(err) != nil {
		return fmt.Errorf("delete unused generated claim %s/%s: %w", o.Namespace, o.Name, err)
	}
	return nil
}

// podNow is the pod of a name; nil if there is none. That it is not the one of the uid is
// told only when the store says so: a reservation, or a claim, of a pod that the cache has
// not seen yet must not be taken for one of a pod that is gone.
func podNow(c client.Client, namespace, name, uid string) (*pod, error) {
	p := &pod{}
	err := c.Get(p, namespace, name)
	if err == nil && p.UID == uid {
		return p, nil
	}
	if err != nil && !client.IsNotFound(err) {
		return nil, err
	}
	var list []*pod
	if err := c.List(&list, client.ListOptions{Namespace: namespace, Fields: "metadata.name=" + name, Fresh: true}); err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func unlessGone(err error) error {
	if client.IsNotFound(err) {
		return nil
	}
	return err
}
