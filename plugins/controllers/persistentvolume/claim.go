package persistentvolume

import (
	"slices"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func reconcileClaim(c client.Client, namespace, name string) error {
	cl := &claim{}
	if err := c.Get(cl, namespace, name); err != nil {
		return unlessGone(err)
	}
	if err := write(c, cl, &cl.ObjectMeta, "", claimUpkeep(cl)); err != nil {
		return unlessGone(err)
	}
	view, err := look(c, cl)
	if err != nil {
		return err
	}
	return carryOut(c, cl, decideClaim(view))
}

// look reads what is decided about a claim from: of all volumes and classes only
// what the decision takes.
func look(c client.Client, cl *claim) (w claimView, err error) {
	w.claim = cl
	if name := cl.Spec.VolumeName; name != "" {
		v := &volume{}
		if err := c.Get(v, "", name); err == nil {
			w.named = v
		} else if !client.IsNotFound(err) {
			return w, err
		}
		return w, nil
	}
	if cl.complete() {
		return w, nil
	}
	if err := c.List(&w.volumes, client.ListOptions{}); err != nil {
		return w, err
	}
	return w, lookAtClass(c, &w)
}

func lookAtClass(c client.Client, w *claimView) error {
	name, asked := w.claim.class()
	if !asked {
		var list []*storageClass
		if err := c.List(&list, client.ListOptions{}); err != nil {
			return err
		}
		w.fallback = defaultOf(list)
	}
	if name == "" {
		return nil
	}
	s := &storageClass{}
	if err := c.Get(s, "", name); err != nil {
		return unlessGone(err)
	}
	w.class = s
	if _, selected := w.claim.Annotations[annSelectedNode]; s.BindingMode != waitForConsumer || selected {
		return nil
	}
	var list []*pod
	if err := c.List(&list, client.ListOptions{Namespace: w.claim.Namespace, Fields: "spec.nodeName="}); err != nil {
		return err
	}
	for _, p := range list {
		if p.uses(w.claim.Name) && p.Status.Phase != "Succeeded" && p.Status.Phase != "Failed" {
			w.waiting = append(w.waiting, p.Name)
		}
	}
	slices.Sort(w.waiting)
	return nil
}

func carryOut(c client.Client, cl *claim, p claimPlan) error {
	was := cl.Status.Phase
	switch {
	case p.bind != nil:
		return bind(c, client.Clone(p.bind), cl)
	case p.class != "":
		return write(c, cl, &cl.ObjectMeta, "", patch{"spec": patch{"storageClassName": p.class}})
	case p.provision != "" && cl.Annotations[annProvisioner] != p.provision:
		if err := write(c, cl, &cl.ObjectMeta, "", askFor(p.provision)); err != nil {
			return err
		}
	case p.phase != "" && !(p.once && was == p.phase):
		if err := write(c, cl, &cl.ObjectMeta, "status", unboundStatus(cl, p.phase)); err != nil {
			return err
		}
	}
	if p.note != nil && !(p.once && was == p.phase) {
		c.Event(cl, *p.note)
	}
	return p.err
}

// abandoned requests the volumes of a claim that went before it knew of them.
func abandoned(c client.Client, namespace, name string) (controller.Result, error) {
	var list []*volume
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, v := range list {
		if r := v.Spec.ClaimRef; r != nil && r.Namespace == namespace && r.Name == name {
			res.Enqueue = append(res.Enqueue, controller.Request{Name: v.Name})
		}
	}
	return res, nil
}

// waitingForClass requests the claims that may go on by a class.
func waitingForClass(c client.Client, name string) (controller.Result, error) {
	var res controller.Result
	s := &storageClass{}
	if err := c.Get(s, "", name); err != nil {
		return res, unlessGone(err)
	}
	var list []*claim
	if err := c.List(&list, client.ListOptions{}); err != nil {
		return res, err
	}
	for _, x := range list {
		if named, asked := x.class(); !x.complete() && x.Spec.VolumeName == "" && (named == name || !asked && s.isDefault()) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: x.Namespace, Name: x.Name})
		}
	}
	return res, nil
}
