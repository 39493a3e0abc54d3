package persistentvolume

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// findBest is the volume for a claim that names none: one that is reserved for
// the claim, or the smallest that is large enough and fits. Volumes with fewer
// access modes are tried first, so that what can do more is kept for who needs it.
// Of a class that waits for a pod only reserved volumes are taken (delay): the
// scheduler, which knows the node, reserves the others. It returns nil when there
// is none.
func findBest(list []*volume, c *claim, delay bool) *volume {
	byModes := map[string][]*volume{}
	for _, v := range list {
		if modesFit(c, v) {
			modes := slices.Sorted(slices.Values(v.Spec.AccessModes))
			key := strings.Join(slices.Compact(modes), ",")
			byModes[key] = append(byModes[key], v)
		}
	}
	keys := make([]string, 0, len(byModes))
	for k := range byModes {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, ","), strings.Count(b, ",")), strings.Compare(a, b))
	})
	for _, k := range keys {
		if v := smallest(byModes[k], c, delay); v != nil {
			return v
		}
	}
	return nil
}

// smallest is the reserved volume among those of the same access modes, or the
// smallest free one.
func smallest(list []*volume, c *claim, delay bool) (best *volume) {
	class, _ := c.class()
	for _, v := range list {
		switch {
		case v.Spec.ClaimRef != nil && !v.isFor(c), v.DeletionTimestamp != nil,
			v.size().Cmp(c.size()) < 0, modeDiffers(c, v), c.Spec.AttributesClass != v.attributesClass():
			continue
		case v.isFor(c):
			return v
		case delay, v.Status.Phase != available, v.class() != class:
			continue
		case c.Spec.Selector != nil && !c.Spec.Selector.Matches(v.Labels):
			continue
		}
		if best == nil || v.size().Cmp(best.size()) < 0 {
			best = v
		}
	}
	return best
}

// mismatch is why a volume that a claim names cannot be bound to it, in upstream's
// words; nil when it can.
func mismatch(v *volume, c *claim) error {
	class, _ := c.class()
	switch {
	case v.DeletionTimestamp != nil:
		return fmt.Errorf("the volume is marked for deletion %q", v.Name)
	case v.size().Cmp(c.size()) < 0:
		return errors.New("requested PV is too small")
	case v.class() != class:
		return errors.New("storageClassName does not match")
	case c.Spec.AttributesClass != v.attributesClass():
		return errors.New("volumeAttributesClassName does not match")
	case modeDiffers(c, v):
		return errors.New("incompatible volumeMode")
	case !modesFit(c, v):
		return errors.New("incompatible accessMode")
	}
	return nil
}

// modesFit tells that the volume has all access modes that the claim asks for.
func modesFit(c *claim, v *volume) bool {
	for _, m := range c.Spec.AccessModes {
		if !slices.Contains(v.Spec.AccessModes, m) {
			return false
		}
	}
	return true
}

func modeDiffers(c *claim, v *volume) bool {
	return cmp.Or(c.Spec.VolumeMode, filesystem) != cmp.Or(v.Spec.VolumeMode, filesystem)
}
