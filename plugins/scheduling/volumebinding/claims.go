package volumebinding

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// reader reads objects as decisions see them: a *scheduling.Snapshot.
type reader interface {
	Get(obj client.Object, namespace, name string) error
	List(list any, o client.ListOptions) error
}

var unboundImmediate = scheduling.UnschedulableAndUnresolvable("pod has unbound immediate PersistentVolumeClaims")

// held are the claims of a pod, by what is to be done about them.
type held struct {
	bound   []*claim
	delayed []*claim // not bound; the scheduler is to choose
	classes map[string]*class
}

// claimsOf reads the claims of a pod, each once. A status says why the pod cannot be
// placed for now.
func claimsOf(list []scheduling.Claim, r reader) (*held, *scheduling.Status) {
	h := &held{classes: map[string]*class{}}
	all := make([]*claim, 0, len(list))
	for i := range list {
		c, err := get(&list[i], r)
		var gone unusable
		switch {
		case errors.As(err, &gone):
			return nil, scheduling.UnschedulableAndUnresolvable(gone.Error())
		case err != nil:
			return nil, scheduling.Failed(err)
		}
		if !slices.ContainsFunc(all, func(x *claim) bool { return x.Metadata.Name == c.Metadata.Name }) {
			all = append(all, c)
		}
	}
	immediate := false
	for _, c := range all {
		if c.bound() {
			h.bound = append(h.bound, c)
			continue
		}
		delayed, err := h.waitsForConsumer(c, r)
		if err != nil {
			return nil, scheduling.Failed(err)
		}
		if delayed && c.Spec.VolumeName == "" {
			h.delayed = append(h.delayed, c)
		} else {
			immediate = true // what is bound beforehand counts as immediate
		}
	}
	if immediate {
		return nil, unboundImmediate
	}
	return h, nil
}

// unusable is a claim that no pod can use now.
type unusable string

func (u unusable) Error() string { return string(u) }

// get reads one claim.
//
// # Errors
//   - unusable, worded as upstream
func get(q *scheduling.Claim, r reader) (*claim, error) {
	c := &claim{}
	if err := r.Get(c, q.Namespace, q.Name); client.IsNotFound(err) {
		if q.PodUID != "" {
			return nil, unusable(fmt.Sprintf("waiting for ephemeral volume controller to create the persistentvolumeclaim %q", q.Name))
		}
		return nil, unusable(fmt.Sprintf("persistentvolumeclaim %q not found", q.Name))
	} else if err != nil {
		return nil, err
	}
	switch {
	case c.Status.Phase == "Lost":
		return nil, unusable(fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", q.Name, c.Spec.VolumeName))
	case c.Metadata.DeletionTimestamp != nil:
		return nil, unusable(fmt.Sprintf("persistentvolumeclaim %q is being deleted", q.Name))
	case q.PodUID != "" && !c.isFor(q.PodUID):
		return nil, unusable(fmt.Sprintf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", q.Namespace, q.Name, q.Namespace, q.PodName))
	}
	return c, nil
}

// waitsForConsumer tells whether the claim is to be bound when a pod has a node. A
// class that is not there does not say so.
func (h *held) waitsForConsumer(c *claim, r reader) (bool, error) {
	name := c.class()
	if name == "" {
		return false, nil
	}
	k, known := h.classes[name]
	if !known {
		k = &class{}
		if err := r.Get(k, "", name); client.IsNotFound(err) {
			k = nil
		} else if err != nil {
			return false, err
		}
		h.classes[name] = k
	}
	if k == nil {
		return false, nil
	}
	if k.Mode == nil {
		return false, fmt.Errorf("VolumeBindingMode not set for StorageClass %q", name)
	}
	return *k.Mode == "WaitForFirstConsumer", nil
}
