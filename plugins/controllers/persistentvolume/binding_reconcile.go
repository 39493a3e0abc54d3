package persistentvolume

import (
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/sdk/api/resource"
)

// A patch is a JSON merge patch; nil changes nothing.
type patch map[string]any

// bindVolume makes the volume the claim's. It is marked as done by the controller
// unless somebody has reserved it.
func bindVolume(v *volume, c *claim) patch {
	p := patch{}
	if r := v.Spec.ClaimRef; r == nil || r.Name != c.Name || r.Namespace != c.Namespace || r.UID != c.UID {
		p["spec"] = patch{"claimRef": reference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: c.Namespace, Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion}}
	}
	if _, has := v.Annotations[annBoundByController]; !has && !v.isFor(c) {
		p["metadata"] = patch{"annotations": patch{annBoundByController: "yes"}}
	}
	return p.orNil()
}

// bindClaim makes the claim the volume's.
func bindClaim(c *claim, v *volume) patch {
	p, notes := patch{}, patch{}
	if c.Spec.VolumeName != v.Name {
		p["spec"] = patch{"volumeName": v.Name}
		if _, has := c.Annotations[annBoundByController]; !has {
			notes[annBoundByController] = "yes"
		}
	}
	if _, has := c.Annotations[annBindCompleted]; !has {
		notes[annBindCompleted] = "yes"
	}
	if len(notes) > 0 {
		p["metadata"] = patch{"annotations": notes}
	}
	return p.orNil()
}

// unbindVolume takes back what bindVolume did: a volume that somebody reserved
// stays so.
func unbindVolume(v *volume) patch {
	if _, ours := v.Annotations[annBoundByController]; ours {
		return patch{"metadata": patch{"annotations": patch{annBoundByController: nil}}, "spec": patch{"claimRef": nil}}
	}
	return patch{"spec": patch{"claimRef": patch{"uid": nil}}}
}

// unboundStatus is the status of a claim without a volume.
func unboundStatus(c *claim, phase string) patch {
	s := patch{}
	if c.Status.Phase != phase {
		s["phase"] = phase
	}
	if c.Status.AccessModes != nil {
		s["accessModes"] = nil
	}
	if c.Status.Capacity != nil {
		s["capacity"] = nil
	}
	if c.Status.AttributesClass != nil {
		s["currentVolumeAttributesClassName"] = nil
	}
	return s.orNil()
}

// boundStatus is the status of a claim with its volume. What resizers and drivers
// change later, capacity and attributes class, is set when the claim becomes
// bound and not touched again.
//
// # Errors
//   - the volume has no capacity
func boundStatus(c *claim, v *volume) (patch, error) {
	s := patch{}
	if !slices.Equal(c.Status.AccessModes, v.Spec.AccessModes) {
		s["accessModes"] = v.Spec.AccessModes
	}
	if c.Status.Phase != bound {
		s["phase"] = bound
		if _, ok := v.Spec.Capacity.storage(); !ok {
			return nil, fmt.Errorf("PersistentVolume %q is without a storage capacity", v.Name)
		}
		if capacity, differs := capacityOf(c, v); differs {
			s["capacity"] = capacity
		}
	}
	if c.Status.Phase == pending && !equal(c.Status.AttributesClass, v.Spec.AttributesClass) {
		s["currentVolumeAttributesClassName"] = v.Spec.AttributesClass
	}
	return s.orNil(), nil
}

// capacityOf is what the claim has of the volume: less than all while the file
// system on it is still to grow.
func capacityOf(c *claim, v *volume) (capacity any, differs bool) {
	if before, ok := v.Annotations[annPreResize]; ok {
		q, err := resource.ParseQuantity(before)
		if err != nil {
			q = v.size()
		}
		return patch{"storage": q}, true
	}
	has, ok := c.Status.Capacity.storage()
	return v.Spec.Capacity, !ok || v.size().Cmp(has) != 0
}

func equal(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

func (p patch) orNil() patch {
	if len(p) == 0 {
		return nil
	}
	return p
}
