package resourceclaim

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// reconcilePod makes the claims that a pod wants, and reserves those that are allocated
// when somebody gave it a node before.
func reconcilePod(c client.Client, namespace, name string) (controller.Result, error) {
	p := &pod{}
	switch err := c.Get(p, namespace, name); {
	case client.IsNotFound(err):
		return controller.Result{}, nil
	case err != nil:
		return controller.Result{}, err
	case p.done():
		return leftOf(c, p)
	case p.DeletionTimestamp != nil:
		return controller.Result{}, nil
	}
	made := map[string]string{}
	for i := range p.Spec.Claims {
		pc := &p.Spec.Claims[i]
		of, err := ensure(c, p, pc)
		switch {
		case client.IsNamespaceTerminating(err):
			return controller.Result{}, nil // the pod goes, too
		case err != nil:
			c.Event(p, client.Note{Warning: true, Reason: "FailedResourceClaimCreation", Message: fmt.Sprintf("PodResourceClaim %s: %v", pc.Name, err)})
			return controller.Result{}, fmt.Errorf("pod %s/%s, PodResourceClaim %s: %w", namespace, name, pc.Name, err)
		case of != "":
			made[pc.Name] = of
		}
	}
	if err := record(c, p, made); err != nil {
		return controller.Result{}, err
	}
	if p.Spec.NodeName == "" {
		return controller.Result{}, nil // who schedules it reserves
	}
	return controller.Result{}, reserve(c, p)
}

// leftOf requests what was made for a pod that is done, and of which it may not say so.
func leftOf(c client.Client, p *pod) (controller.Result, error) {
	owned, err := ownedBy(c, p)
	var out controller.Result
	for _, o := range owned {
		out.Enqueue = append(out.Enqueue, controller.Request{Namespace: o.Namespace, Name: o.Name})
	}
	return out, err
}

func ownedBy(c client.Client, p *pod) ([]*claim, error) {
	var owned []*claim
	err := c.List(&owned, client.ListOptions{Namespace: p.Namespace, Owner: client.OwnedBy(p.UID)})
	return owned, err
}

// ensure makes the claim for one that a pod names; it answers the name of a claim of
// which the pod does not say yet that it is this one.
//
// # Errors
//   - in upstream's words: the pod names it in an unknown way, or its template is missing
//   - those of client.Client
func ensure(c client.Client, p *pod, pc *podClaim) (string, error) {
	has, err := claimOf(p, pc)
	if err != nil {
		return "", fmt.Errorf("checking for claim before creating it: %w", err)
	}
	if has.needless || !has.generated {
		return "", nil
	}
	if has.name != "" {
		o := &claim{}
		err := c.Get(o, p.Namespace, has.name)
		if err == nil && isFor(p, o) == nil {
			return "", nil
		}
		if err != nil && !client.IsNotFound(err) {
			return "", fmt.Errorf("checking claim existence: %w", err)
		}
	}
	owned, err := ownedBy(c, p)
	if err != nil {
		return "", fmt.Errorf("finding ResourceClaim for claim %s in pod %s/%s failed: %w", pc.Name, p.Namespace, p.Name, err)
	}
	if o := madeFor(owned, pc.Name); o != nil {
		return o.Name, nil
	}
	t := &template{}
	if err := c.Get(t, p.Namespace, *pc.TemplateName); err != nil {
		return "", fmt.Errorf("resource claim template %q: %w", *pc.TemplateName, err)
	}
	o := claimFor(p, pc.Name, t)
	if err := c.Create(o); err != nil {
		return "", fmt.Errorf("create ResourceClaim %s: %w", o.GenerateName, err)
	}
	return o.Name, nil
}

// record says in the pod's status which claims were made for it.
func record(c client.Client, p *pod, made map[string]string) error {
	if len(made) == 0 {
		return nil
	}
	// Strategic: what others write of the status meanwhile does not matter.
	err := c.Patch(p, client.Patch{Type: client.StrategicPatch, Subresource: "status",
		Data: map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": map[string]any{"resourceClaimStatuses": statusesWith(p, made)}}})
	if err != nil {
		return fmt.Errorf("update pod %s/%s ResourceClaimStatuses: %w", p.Namespace, p.Name, err)
	}
	return nil
}

// reserve names a pod that has a node among those that use its claims, where they are
// allocated.
func reserve(c client.Client, p *pod) error {
	for i := range p.Spec.Claims {
		has, err := claimOf(p, &p.Spec.Claims[i])
		if err != nil {
			return err
		}
		if has.name == "" {
			continue
		}
		o := &claim{}
		if err := c.Get(o, p.Namespace, has.name); err != nil {
			if client.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("retrieve claim: %w", err)
		}
		if has.generated {
			if err := isFor(p, o); err != nil {
				return err
			}
		}
		if !reservable(p, o) {
			continue
		}
		s := step{remaining: append(o.Status.ReservedFor, consumer{Resource: "pods", Name: p.Name, UID: p.UID})}
		if err := c.Patch(o, client.Patch{Data: s.statusPatch(o), Subresource: "status"}); err != nil {
			return fmt.Errorf("reserve claim %s/%s: %w", o.Namespace, o.Name, err)
		}
	}
	return nil
}
