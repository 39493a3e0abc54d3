package persistentvolume

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk/client"
)

// volumePlan is the next step for a volume. The zero plan is to wait.
type volumePlan struct {
	phase   string // to set
	message string // with it
	note    *client.Note
	// claimNote is told of the claim.
	claimNote *client.Note
	// once: the notes are told only if the phase changes.
	once bool
	// unbind: the volume is free again, or reserved for the claim's name.
	unbind bool
	// wake: the claim is to be looked at.
	wake bool
}

// decideVolume is the next step for a volume, whose claim is that of the name in
// its claimRef, or nil.
func decideVolume(v *volume, c *claim) volumePlan {
	r := v.Spec.ClaimRef
	switch {
	case r == nil:
		return volumePlan{phase: available}
	case r.UID == "": // reserved, for a claim that may come
		return volumePlan{phase: available, wake: c != nil}
	case c == nil || c.UID != r.UID:
		return reclaim(v)
	case c.Spec.VolumeName == "":
		return decideHalf(v, c)
	case c.Spec.VolumeName == v.Name:
		return volumePlan{phase: bound, wake: c.Status.Phase != bound}
	}
	// The claim is bound to another volume: what was made for it is not needed.
	if _, made := v.Annotations[annProvisionedBy]; made && v.Spec.ReclaimPolicy == remove {
		return reclaim(v)
	}
	return volumePlan{unbind: true, phase: available}
}

// decideHalf is the step for a volume whose claim does not know of it yet.
func decideHalf(v *volume, c *claim) volumePlan {
	if !modeDiffers(c, v) {
		return volumePlan{wake: true}
	}
	return volumePlan{
		note: &client.Note{Warning: true, Reason: "VolumeMismatch",
			Message: fmt.Sprintf("Cannot bind PersistentVolume to requested PersistentVolumeClaim %q due to incompatible volumeMode.", c.Name)},
		claimNote: &client.Note{Warning: true, Reason: "VolumeMismatch",
			Message: fmt.Sprintf("Cannot bind PersistentVolume %q to requested PersistentVolumeClaim due to incompatible volumeMode.", v.Name)},
	}
}

// reclaim is what becomes of a volume whose claim is gone. Provisioners delete
// what is Released and to be deleted; here are none, and nobody wipes volumes.
func reclaim(v *volume) volumePlan {
	p := volumePlan{phase: released}
	if v.Status.Phase == failed {
		p.phase = failed // whoever failed told why
	}
	fails := func(reason, message string) volumePlan {
		return volumePlan{phase: failed, message: message, note: &client.Note{Warning: true, Reason: reason, Message: message}, once: true}
	}
	if v.Annotations[annMigratedTo] != "" {
		return p
	}
	switch v.Spec.ReclaimPolicy {
	case retain:
		return p
	case recycle:
		return fails("VolumeFailedRecycle", "No recycler plugin found for the volume!")
	case remove:
		if err := deletable(v); err != nil {
			return fails("VolumeFailedDelete", err.Error())
		}
		return p
	}
	return fails("VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy")
}

// deletable is why no provisioner will delete the volume; nil when one should.
func deletable(v *volume) error {
	by := v.Annotations[annProvisionedBy]
	switch {
	case by != "" && strings.HasPrefix(by, inTree):
		return fmt.Errorf("no volume plugin matched name: %s", by)
	case by != "", v.Spec.CSI != nil:
		return nil
	}
	return fmt.Errorf("error getting deleter volume plugin for volume %q: no deletable volume plugin matched", v.Name)
}

// volumeUpkeep sets the annotations and finalizers of a provisioned volume right: the
// driver that took over, and no finalizer of what Kubernetes itself once
// provisioned, which nothing would ever remove.
func volumeUpkeep(v *volume) patch {
	by, made := v.Annotations[annProvisionedBy]
	if !made {
		return nil
	}
	m := patch{}
	if to := migratedTo(v.Annotations, by); to != nil {
		m["annotations"] = to
	}
	left, driver := v.Finalizers, migrated[by]
	if strings.HasPrefix(by, inTree) {
		if driver != "" || v.Spec.ReclaimPolicy != remove {
			left = without(left, finalizerInTree)
		}
		if driver == "" {
			left = without(left, finalizerExternal)
		}
	}
	if len(left) != len(v.Finalizers) {
		m["finalizers"] = left
	}
	if len(m) == 0 {
		return nil
	}
	return patch{"metadata": m}
}

func without(list []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(x string) bool { return x == s })
}

// claimUpkeep tells in a claim which driver took over from its provisioner.
func claimUpkeep(c *claim) patch {
	by, asked := c.Annotations[annProvisioner]
	if !asked {
		by, asked = c.Annotations[annBetaProvisioner]
	}
	if to := migratedTo(c.Annotations, by); asked && to != nil {
		return patch{"metadata": patch{"annotations": to}}
	}
	return nil
}

// migratedTo is the change of the annotation, or nil.
func migratedTo(annotations map[string]string, provisioner string) patch {
	switch driver := migrated[provisioner]; {
	case annotations[annMigratedTo] == driver:
		return nil
	case driver == "":
		return patch{annMigratedTo: nil}
	default:
		return patch{annMigratedTo: driver}
	}
}
