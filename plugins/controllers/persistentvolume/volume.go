package persistentvolume

import (
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func reconcileVolume(c client.Client, name string) (res controller.Result, err error) {
	v := &volume{}
	if err := c.Get(v, "", name); err != nil {
		return res, unlessGone(err)
	}
	if err := write(c, v, &v.ObjectMeta, "", volumeUpkeep(v)); err != nil {
		return res, unlessGone(err)
	}
	var cl *claim
	if r := v.Spec.ClaimRef; r != nil {
		cl = &claim{}
		if err := c.Get(cl, r.Namespace, r.Name); client.IsNotFound(err) {
			cl = nil
		} else if err != nil {
			return res, err
		}
	}
	if v.Spec.ClaimRef == nil {
		owner, err := ownerOf(c, v)
		if err != nil {
			return res, err
		}
		if owner != nil { // before anybody else takes it
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: owner.Namespace, Name: owner.Name})
			return res, nil
		}
	}
	p := decideVolume(v, cl)
	if p.wake && cl != nil {
		res.Enqueue = append(res.Enqueue, controller.Request{Namespace: cl.Namespace, Name: cl.Name})
	}
	if err := carryOutVolume(c, v, cl, p); err != nil {
		return res, err
	}
	if v.Spec.ClaimRef == nil && v.DeletionTimestamp == nil {
		return res, wakeClaims(c, v, &res)
	}
	return res, nil
}

func carryOutVolume(c client.Client, v *volume, cl *claim, p volumePlan) error {
	was := v.Status.Phase
	if p.unbind {
		if err := write(c, v, &v.ObjectMeta, "", unbindVolume(v)); err != nil {
			return err
		}
	}
	if p.phase != "" {
		if err := setPhase(c, v, p.phase, p.message); err != nil {
			return err
		}
	}
	if p.once && was == p.phase {
		return nil
	}
	if p.note != nil {
		c.Event(v, *p.note)
	}
	if p.claimNote != nil && cl != nil {
		c.Event(cl, *p.claimNote)
	}
	return nil
}

// ownerOf is the claim that has a volume which says nothing of it, because somebody
// removed its claimRef; nil: it is free. Its phase stays until the claim has it back.
func ownerOf(c client.Client, v *volume) (*claim, error) {
	var list []*claim
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return nil, err
	}
	for _, x := range list {
		if x.complete() && x.Spec.VolumeName == v.Name {
			return x, nil
		}
	}
	return nil, nil
}

// wakeClaims requests the claims that a free volume is good for.
func wakeClaims(c client.Client, v *volume, res *controller.Result) error {
	var list []*claim
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return err
	}
	var known []*storageClass
	if err := c.List(&known, client.ListOptions{}); err != nil {
		return err
	}
	delayed := map[string]bool{}
	for _, s := range known {
		delayed[s.Name] = s.BindingMode == waitForConsumer
	}
	for _, x := range list {
		class, _ := x.class()
		names := x.Spec.VolumeName == v.Name
		fits := x.Spec.VolumeName == "" && !x.complete() && findBest([]*volume{v}, x, delayed[class]) != nil
		if names || fits {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: x.Namespace, Name: x.Name})
		}
	}
	return nil
}

// bind finishes the binding of both, from wherever it is. The volume is first: it is
// the one that two claims may want.
func bind(c client.Client, v *volume, cl *claim) error {
	if err := write(c, v, &v.ObjectMeta, "", bindVolume(v, cl)); err != nil {
		return err
	}
	if err := setPhase(c, v, bound, ""); err != nil {
		return err
	}
	if err := write(c, cl, &cl.ObjectMeta, "", bindClaim(cl, v)); err != nil {
		return err
	}
	p, err := boundStatus(cl, v)
	if err != nil {
		return err
	}
	return write(c, cl, &cl.ObjectMeta, "status", p)
}

func setPhase(c client.Client, v *volume, phase, message string) error {
	if v.Status.Phase == phase {
		return nil
	}
	return write(c, v, &v.ObjectMeta, "status", patch{"phase": phase, "message": message})
}
