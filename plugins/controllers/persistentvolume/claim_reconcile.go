package persistentvolume

import (
	"fmt"
	"strings"

	"github.com/pintle-io/pintle/sdk/client"
)

// claimView is what is decided about a claim from.
type claimView struct {
	claim *claim
	// volumes are all, for a claim that names none and is not bound.
	volumes []*volume
	// named is the volume that the claim names; nil: there is none.
	named *volume
	// class is the claim's StorageClass; nil: there is none of the name.
	class *storageClass
	// fallback is the default class; nil: there is none.
	fallback *storageClass
	// waiting are the pods that use the claim and have no node yet.
	waiting []string
}

// claimPlan is the next step for a claim. The zero plan is to wait.
type claimPlan struct {
	bind      *volume // to this one
	phase     string  // to set, with a status that knows no volume
	class     string  // to be the claim's from now on
	provision string  // who is to provision a volume
	note      *client.Note
	// once: the note is told only if the phase changes.
	once bool
	// err is why the claim must be looked at again.
	err error
}

// decideClaim is the next step for a claim.
func decideClaim(w claimView) claimPlan {
	_, completed := w.claim.Annotations[annBindCompleted]
	switch {
	case completed:
		return decideBound(w)
	case w.claim.Spec.VolumeName != "":
		return decideNamed(w)
	}
	return decideFree(w)
}

// decideFree is the step for a claim that takes any volume.
func decideFree(w claimView) claimPlan {
	delay := w.class != nil && w.class.BindingMode == waitForConsumer
	if v := findBest(w.volumes, w.claim, delay); v != nil {
		return claimPlan{bind: v}
	}
	name, asked := w.claim.class()
	if !asked && w.fallback != nil {
		return claimPlan{class: w.fallback.Name}
	}
	_, selected := w.claim.Annotations[annSelectedNode]
	switch {
	case delay && !selected:
		return claimPlan{phase: pending, note: waitNote(w.waiting)}
	case name != "":
		return provision(name, w.class)
	}
	return claimPlan{phase: pending, note: &client.Note{Reason: "FailedBinding",
		Message: "no persistent volumes available for this claim and no storage class is set"}}
}

func waitNote(waiting []string) *client.Note {
	switch len(waiting) {
	case 0:
		return &client.Note{Reason: "WaitForFirstConsumer", Message: "waiting for first consumer to be created before binding"}
	case 1:
		return &client.Note{Reason: "WaitForPodScheduled", Message: fmt.Sprintf("waiting for pod %s to be scheduled", waiting[0])}
	}
	return &client.Note{Reason: "WaitForPodScheduled", Message: fmt.Sprintf("waiting for pods %s to be scheduled", strings.Join(waiting, ","))}
}

// provision asks the provisioner of a class for a volume.
func provision(name string, class *storageClass) claimPlan {
	if class == nil {
		return claimPlan{note: &client.Note{Warning: true, Reason: "ProvisioningFailed", Message: fmt.Sprintf("storageclass.storage.k8s.io %q not found", name)}}
	}
	who, ok := external(class.Provisioner)
	if !ok {
		return claimPlan{note: &client.Note{Warning: true, Reason: "ProvisioningFailed", Message: "no volume plugin matched name: " + class.Provisioner}}
	}
	return claimPlan{provision: who, note: &client.Note{Reason: "ExternalProvisioning",
		Message: fmt.Sprintf("Waiting for a volume to be created either by the external provisioner '%s' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.", who)}}
}

// decideNamed is the step for a claim that asks for one volume.
func decideNamed(w claimView) claimPlan {
	c, v := w.claim, w.named
	switch {
	case v == nil:
		return claimPlan{phase: pending}
	case v.Spec.ClaimRef == nil && v.Status.Phase == bound:
		// Somebody removed its claimRef: the claim that has it comes first, and then,
		// if there is none, the volume wakes this one.
		return claimPlan{phase: pending}
	case v.Spec.ClaimRef == nil:
		if err := mismatch(v, c); err != nil {
			return claimPlan{phase: pending, note: &client.Note{Warning: true, Reason: "VolumeMismatch",
				Message: fmt.Sprintf("Cannot bind to requested volume %q: %s", v.Name, err)}}
		}
		return claimPlan{bind: v}
	case v.isFor(c):
		return claimPlan{bind: v}
	}
	p := claimPlan{note: &client.Note{Warning: true, Reason: "FailedBinding", Message: fmt.Sprintf("volume %q already bound to a different claim.", v.Name)}}
	if _, ours := c.Annotations[annBoundByController]; !ours {
		p.phase = pending
		return p
	}
	// Somebody must have removed an annotation from the claim.
	p.err = fmt.Errorf("invalid binding of claim \"%s/%s\" to volume %q: volume already claimed by \"%s/%s\"",
		c.Namespace, c.Name, v.Name, v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name)
	return p
}

// decideBound is the step for a claim whose binding was complete once.
func decideBound(w claimView) claimPlan {
	v := w.named
	loses := func(reason, message string) claimPlan {
		return claimPlan{phase: lost, note: &client.Note{Warning: true, Reason: reason, Message: message}, once: true}
	}
	switch {
	case w.claim.Spec.VolumeName == "":
		return loses("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	case v == nil:
		return loses("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	case v.Spec.ClaimRef == nil, v.Spec.ClaimRef.UID == w.claim.UID:
		return claimPlan{bind: v}
	}
	return loses("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
}

// askFor tells provisioners that a volume is wanted, by both names of the
// annotation.
func askFor(provisioner string) patch {
	return patch{"metadata": patch{"annotations": patch{annProvisioner: provisioner, annBetaProvisioner: provisioner}}}
}
