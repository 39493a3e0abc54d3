package volumebinding

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// state is what a placement carries from Reserve to PreBind.
type state struct {
	Bind []bindTo `json:"bind,omitempty"` // volumes to be given to claims
	Make []ref    `json:"make,omitempty"` // claims for which volumes are to be made
	// Written: all of that has been written.
	Written bool `json:"written,omitempty"`
}

type bindTo struct {
	Volume string `json:"volume"`
	Claim  ref    `json:"claim"`
}

// ref is a claim of the pod's namespace.
type ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

func refOf(c *claim) ref { return ref{c.Metadata.Name, c.Metadata.UID} }

// reserve chooses volumes on the pod's node, and has every other decision see them as
// taken.
func (t *plugin) reserve(p *scheduling.Placement) *scheduling.Status {
	w, st := prepare(p.Pod().Claims(), p.Snapshot())
	if st != nil {
		return st
	}
	bindings, toMake, reasons := w.place(p.Node())
	if reasons != 0 {
		return statuses[reasons]
	}
	x := state{}
	for _, b := range bindings {
		if patch := b.volume.boundTo(b.claim); patch != nil {
			p.Assume(scheduling.ObjectRef{Resource: volumes, Name: b.volume.Metadata.Name}, patch)
		}
		x.Bind = append(x.Bind, bindTo{b.volume.Metadata.Name, refOf(b.claim)})
	}
	for _, c := range toMake {
		p.Assume(scheduling.ObjectRef{Resource: claims, Namespace: p.Namespace, Name: c.Metadata.Name}, selectedOn(p.NodeName, ""))
		x.Make = append(x.Make, refOf(c))
	}
	if len(bindings)+len(toMake) > 0 {
		p.State = x.encode()
	}
	return nil
}

func (x *state) encode() []byte {
	b, err := json.Marshal(x)
	if err != nil {
		panic(err) // of strings only
	}
	return b
}

// preFlight: pods whose claims are all bound are bound at once.
func (t *plugin) preFlight(p *scheduling.Placement) bool { return len(p.State) > 0 }

// object is a JSON merge patch.
type object = map[string]any

// boundTo is the patch that gives a volume to a claim; nil when it has it already. Only
// a binding that nobody asked for is marked as made by a controller.
func (v *volume) boundTo(c *claim) object {
	m := &c.Metadata
	r := v.Spec.ClaimRef
	patch := object{}
	if r == nil || r.Name != m.Name || r.Namespace != m.Namespace || r.UID != m.UID {
		patch["spec"] = object{"claimRef": claimRef{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion}}
	}
	if !r.names(&m.meta) && v.Metadata.Annotations.BoundByController == nil {
		patch["metadata"] = object{"annotations": object{"pv.kubernetes.io/bound-by-controller": "yes"}}
	}
	if len(patch) == 0 {
		return nil
	}
	return patch
}

// selectedOn is the patch that has a volume made for a claim.
func selectedOn(node, resourceVersion string) object {
	m := object{"annotations": object{"volume.kubernetes.io/selected-node": node}}
	if resourceVersion != "" {
		m["resourceVersion"] = resourceVersion
	}
	return object{"metadata": m}
}

// again is when PreBind looks again after an answer of the API that says nothing about
// the volumes.
const again = time.Second

// preBind writes what was chosen, and waits until all of it is bound.
func (t *plugin) preBind(p *scheduling.Placement, c client.Client) *scheduling.Status {
	x := state{}
	if err := json.Unmarshal(p.State, &x); err != nil {
		return scheduling.Failed(fmt.Errorf("state of a placement: %w", err))
	}
	b := binder{c: c, namespace: p.Namespace, node: p.NodeName}
	if !x.Written {
		if err := b.write(&x); err != nil {
			return t.later(p, err)
		}
		x.Written = true
		p.State = x.encode()
	}
	done, err := b.check(&x)
	switch {
	case err != nil:
		return t.later(p, fmt.Errorf("binding volumes: %w", err))
	case done:
		return nil
	case p.Elapsed >= t.timeout:
		return scheduling.Unschedulable("binding volumes: context deadline exceeded")
	}
	return scheduling.Wait(t.timeout-p.Elapsed, b.refs(&x)...)
}

// later tells an API that gave no answer, or has changed meanwhile, from an end of the
// placement.
func (t *plugin) later(p *scheduling.Placement, err error) *scheduling.Status {
	if (client.IsUnavailable(err) || client.IsConflict(err)) && p.Elapsed < t.timeout {
		return scheduling.Wait(again)
	}
	return scheduling.Unschedulable(err.Error())
}

// binder binds the volumes of one pod.
type binder struct {
	c               client.Client
	namespace, node string
}

// write gives volumes to claims and has others made. What has been written before is
// left as it is.
func (b *binder) write(x *state) error {
	for _, q := range x.Bind {
		c, err := b.claim(q.Claim)
		if err != nil {
			return err
		}
		v := &volume{}
		if err := b.c.Get(v, "", q.Volume); err != nil {
			return err
		}
		if r := v.Spec.ClaimRef; r != nil && !r.names(&c.Metadata.meta) {
			return fmt.Errorf("volume %q is bound to claim %s/%s already", q.Volume, r.Namespace, r.Name)
		}
		patch := v.boundTo(c)
		if patch == nil {
			continue
		}
		m, _ := patch["metadata"].(object)
		if m == nil {
			m = object{}
			patch["metadata"] = m
		}
		m["resourceVersion"] = v.Metadata.ResourceVersion
		if err := b.c.Patch(v.named(), client.Patch{Data: patch}); err != nil {
			return err
		}
	}
	for _, q := range x.Make {
		c, err := b.claim(q)
		if err != nil {
			return err
		}
		if s := c.Metadata.Annotations.SelectedNode; s != nil && *s == b.node || c.bound() {
			continue
		}
		if err := b.c.Patch(c.named(), client.Patch{Data: selectedOn(b.node, c.Metadata.ResourceVersion)}); err != nil {
			return err
		}
	}
	return nil
}

// named is an object of the same name, for what a write answers.
func (v *volume) named() *volume {
	out := &volume{}
	out.Metadata.Name = v.Metadata.Name
	return out
}

func (c *claim) named() *claim {
	out := &claim{}
	out.Metadata.Name, out.Metadata.Namespace = c.Metadata.Name, c.Metadata.Namespace
	return out
}

// claim reads a claim, which must be the one that was decided about.
func (b *binder) claim(q ref) (*claim, error) {
	c := &claim{}
	if err := b.c.Get(c, b.namespace, q.Name); err != nil {
		return nil, err
	}
	if c.Metadata.UID != q.UID {
		return nil, fmt.Errorf("persistentvolumeclaim %q is another one now", q.Name)
	}
	return c, nil
}

// check tells whether all claims are bound. An error says that they are not going to
// be, worded as upstream.
func (b *binder) check(x *state) (done bool, err error) {
	n := &node{}
	if err := b.c.Get(n, "", b.node); err != nil {
		return false, fmt.Errorf("failed to get node %q: %w", b.node, err)
	}
	done = true
	for _, q := range x.Bind {
		v := &volume{}
		if err := b.c.Get(v, "", q.Volume); err != nil {
			return false, fmt.Errorf("failed to check binding: %w", err)
		}
		c, err := b.claim(q.Claim)
		if err != nil {
			return false, fmt.Errorf("failed to check binding: %w", err)
		}
		if !v.usableWith(n.Metadata.Labels) {
			return false, b.conflict(v)
		}
		if v.Spec.ClaimRef == nil || v.Spec.ClaimRef.UID == "" {
			return false, fmt.Errorf("ClaimRef got reset for pv %q", q.Volume)
		}
		done = done && c.bound()
	}
	for _, q := range x.Make {
		bound, err := b.checkMade(q, n.Metadata.Labels)
		if err != nil {
			return false, err
		}
		done = done && bound
	}
	return done, nil
}

// checkMade looks at a claim for which a volume is being made.
func (b *binder) checkMade(q ref, labels map[string]string) (bound bool, err error) {
	c, err := b.claim(q)
	if err != nil {
		return false, fmt.Errorf("failed to check provisioning pvc: %w", err)
	}
	if s := c.Metadata.Annotations.SelectedNode; s == nil || *s != b.node {
		return false, fmt.Errorf("provisioning failed for PVC %q", q.Name) // whoever makes it has given up
	}
	if c.Spec.VolumeName == "" {
		return false, nil
	}
	v := &volume{}
	if err := b.c.Get(v, "", c.Spec.VolumeName); client.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("failed to get pv %q from cache: %w", c.Spec.VolumeName, err)
	}
	if !v.usableWith(labels) {
		return false, b.conflict(v)
	}
	return c.bound(), nil
}

func (b *binder) conflict(v *volume) error {
	return fmt.Errorf("pv %q node affinity doesn't match node %q: no matching NodeSelectorTerms", v.Metadata.Name, b.node)
}

// refs are the objects whose change can end the wait.
func (b *binder) refs(x *state) (out []scheduling.ObjectRef) {
	for _, q := range x.Bind {
		out = append(out, scheduling.ObjectRef{Resource: volumes, Name: q.Volume},
			scheduling.ObjectRef{Resource: claims, Namespace: b.namespace, Name: q.Claim.Name})
	}
	for _, q := range x.Make {
		out = append(out, scheduling.ObjectRef{Resource: claims, Namespace: b.namespace, Name: q.Name})
	}
	return out
}
