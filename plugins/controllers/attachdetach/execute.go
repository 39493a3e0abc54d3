package attachdetach

import (
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// volume brings one volume a step closer to where it is needed.
func (k *controlled) volume(c client.Client, name string, now time.Time) (controller.Result, error) {
	s, p, err := k.planned(c, name, now)
	if err == nil && len(p.create) > 0 && !k.fresh {
		// Another server may have led until just now, and attached a volume of which this
		// one has not heard. What it reads from here on is no older than this.
		var none []*attachment
		if err := c.List(&none, client.ListOptions{Fields: "metadata.name=" + p.create[0].Name, Fresh: true}); err != nil {
			return controller.Result{}, err
		}
		k.fresh = true
		s, p, err = k.planned(c, name, now)
	}
	if err != nil || s == nil {
		return controller.Result{}, err
	}
	if k.memory[name] = p.memory; len(p.memory.since)+len(p.memory.told) == 0 {
		delete(k.memory, name)
	}
	for _, n := range p.notes {
		c.Event(n.about, n.Note)
	}
	var errs []error
	for _, d := range p.detach {
		errs = append(errs, detach(c, d))
	}
	for _, a := range p.create {
		exists, err := attach(c, s, a)
		if exists { // of another PersistentVolume with this handle: its end wakes nobody who asks for this one
			p.again(attachTimeout)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return controller.Result{}, err
	}
	return controller.Result{RequeueAfter: p.after}, nil
}

func (k *controlled) planned(c client.Client, name string, now time.Time) (*state, plan, error) {
	s, err := gather(c, name)
	if err != nil || s == nil {
		return nil, plan{}, err
	}
	return s, decide(s, k.memory[name], now), nil
}

// attach asks for a volume on a node, unless that is there; its pods are told when it is
// refused.
func attach(c client.Client, s *state, a *attachment) (exists bool, err error) {
	err = c.Create(a)
	if err == nil || client.IsAlreadyExists(err) {
		return err != nil, nil
	}
	for _, u := range s.users {
		if u.Spec.NodeName == a.Spec.NodeName {
			c.Event(u.pod, client.Note{Warning: true, Reason: "FailedAttachVolume", Message: failed(u, err.Error())})
		}
	}
	return false, fmt.Errorf("attach volume %s to node %s: %w", a.Spec.Source.Volume, a.Spec.NodeName, err)
}

// detach takes a volume from a node: first the node is told not to mount it any more,
// and if it has not begun to use it meanwhile, the attachment goes. The node hears of one
// that stays again when it is looked at.
func detach(c client.Client, d detachment) error {
	if err := report(c, d.Spec.NodeName, d.Name); err != nil {
		return err
	}
	if !d.forced {
		var now []*node
		if err := c.List(&now, client.ListOptions{Fields: "metadata.name=" + d.Spec.NodeName, Fresh: true}); err != nil {
			return err
		}
		if len(now) > 0 && now[0].uses(d.Name) {
			return report(c, d.Spec.NodeName, "")
		}
	}
	err := c.Delete(d.attachment, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(d.UID)})
	if err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("detach volume %s from node %s: %w", d.Spec.Source.Volume, d.Spec.NodeName, err)
	}
	return nil
}

// nodeChanged tells a node what is attached to it, and requests what it may have let go.
func nodeChanged(c client.Client, name string) (controller.Result, error) {
	if err := report(c, name, ""); err != nil {
		return controller.Result{}, err
	}
	n, err := nodeOf(c, name)
	if err != nil {
		return controller.Result{}, err
	}
	list, err := by[attachment](c, "", "spec.nodeName", name)
	var out controller.Result
	for _, a := range list {
		if a.Spec.Source.Volume != "" && mayRelease(n, a.Name) {
			out.Enqueue = append(out.Enqueue, controller.Request{Name: a.Spec.Source.Volume})
		}
	}
	return out, err
}

// nodeManaged requests the claims of the pods on a node that the controller is to care
// for from now on.
func nodeManaged(c client.Client, name string) (controller.Result, error) {
	var any []*volume
	if err := c.List(&any, client.ListOptions{Limit: 1}); err != nil || len(any) == 0 {
		return controller.Result{}, err // a cluster without volumes needs no index of its pods
	}
	if n, err := nodeOf(c, name); err != nil || n == nil || !n.managed() {
		return controller.Result{}, err
	}
	list, err := by[pod](c, "", "spec.nodeName", name)
	var out controller.Result
	for _, p := range list {
		for _, cl := range p.claims() {
			out.Enqueue = append(out.Enqueue, controller.Request{Namespace: p.Namespace, Name: cl})
		}
	}
	return out, err
}

// report writes into the status of a node what is attached to it, without one attachment,
// and tells the pods for which something is new.
func report(c client.Client, name, without string) error {
	n, err := nodeOf(c, name)
	if err != nil || n == nil {
		return err
	}
	list, err := by[attachment](c, "", "spec.nodeName", name)
	if err != nil {
		return err
	}
	known, fresh := map[string]string{}, map[string]string{} // by attachment: the volume's name; its PersistentVolume
	for _, a := range list {
		if !a.ours() || !a.Status.Attached || a.DeletionTimestamp != nil || a.Name == without {
			continue
		}
		said, v, err := nameOf(c, n, a)
		if err != nil {
			return err
		}
		if v != "" {
			known[a.Name] = v
		}
		if !said && v != "" {
			fresh[a.Name] = a.Spec.Source.Volume
		}
	}
	want := reported(n, known)
	if same(want, n.Status.Attached) {
		return nil
	}
	err = c.Patch(&node{ObjectMeta: n.ObjectMeta}, client.Patch{Subresource: "status", Data: map[string]any{
		"metadata": map[string]any{"uid": n.UID}, "status": map[string]any{"volumesAttached": want}}})
	if err != nil {
		if client.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("report the volumes of node %s: %w", name, err)
	}
	for _, v := range fresh {
		if err := succeeded(c, v, name); err != nil {
			return err
		}
	}
	return nil
}

func same(a, b []attached) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// nameOf is what a node calls the volume of an attachment, and whether its status has
// it; "" if that does not have it, and there is no PersistentVolume that would say so.
func nameOf(c client.Client, n *node, a *attachment) (said bool, name string, err error) {
	for _, v := range n.Status.Attached {
		if names(v.Name, a.Name, n.Name) {
			return true, v.Name, nil
		}
	}
	v, err := one[volume](c, "", a.Spec.Source.Volume)
	if err != nil || v == nil || v.Spec.CSI == nil || attachmentName(v.Spec.CSI.Handle, v.Spec.CSI.Driver, n.Name) != a.Name {
		return false, "", err
	}
	return false, volumeName(v.Spec.CSI.Driver, v.Spec.CSI.Handle), nil
}

// succeeded tells the pods on a node that their volume is there.
func succeeded(c client.Client, volume, node string) error {
	s, err := gather(c, volume)
	if err != nil || s == nil {
		return err
	}
	for _, u := range s.users {
		if u.Spec.NodeName == node {
			c.Event(u.pod, client.Note{Reason: "SuccessfulAttachVolume", Message: fmt.Sprintf("AttachVolume.Attach succeeded for volume %q ", u.volume)})
		}
	}
	return nil
}
