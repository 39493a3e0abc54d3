package statefulset

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// maxNotes bounds the events of one group of actions: beyond, a line for each pod
// says nothing more.
const maxNotes = 100

// executor carries out a plan.
type executor struct {
	client.Client
	set *appsv1.StatefulSet
	// templates are what revisions hold, by name.
	templates func(revision string) (*corev1.PodTemplateSpec, error)
	molds     map[string]*mold // by revision
	done      int              // actions that came to their end
}

// outcome is how an action goes.
type outcome struct {
	action
	err   error
	quiet bool // the error is nothing to tell: a pod of that name is there
}

// run carries out groups until one fails; what is left comes with the next round.
func (e *executor) run(groups [][]action) error {
	for _, g := range groups {
		out := make([]*outcome, len(g))
		for i := range g {
			out[i] = &outcome{action: g[i]}
		}
		if err := e.group(out); err != nil {
			return err
		}
	}
	return nil
}

// errHeld is that of an action that waits for the end of a claim; its plan looks
// again for that.
var errHeld = errors.New("is being deleted")

func (e *executor) group(out []*outcome) error {
	for _, o := range out {
		for _, name := range o.foreign {
			e.Event(e.set, client.Note{Warning: true, Reason: "ConflictingController", Message: fmt.Sprintf(
				"PersistentVolumeClaim %s has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim", name)})
		}
		if o.held != "" {
			o.err = fmt.Errorf("pvc %s %w", o.held, errHeld)
		}
	}
	if err := e.makeClaims(out); err != nil {
		return err
	}
	if err := e.writePods(out); err != nil {
		return err
	}
	for _, o := range out {
		if o.verb == update && o.err == nil {
			o.err = e.mend(o.action)
		}
		if o.err == nil {
			o.err = e.giveClaims(o.owners)
		}
	}
	return e.tell(out)
}

// makeClaims makes the claims that are missing, before the pods that use them.
func (e *executor) makeClaims(out []*outcome) error {
	var ops []client.Op
	var of []*outcome
	for _, o := range out {
		for _, i := range o.missing {
			c := newClaim(e.set, &e.set.Spec.VolumeClaimTemplates[i], o.ordinal)
			body, err := json.Marshal(c)
			if err != nil {
				return fmt.Errorf("encode claim %s: %w", c.Name, err)
			}
			d := &draft{resource: c.APIResource(), body: body}
			d.Name, d.Namespace = c.Name, c.Namespace
			ops, of = append(ops, client.Op{Verb: client.VerbCreate, Object: d, Brief: true}), append(of, o)
		}
	}
	errs, err := batch(e, ops)
	if err != nil {
		return err
	}
	told := 0
	for i, err := range errs {
		name, o := ops[i].Object.(*draft).Name, of[i]
		if client.IsAlreadyExists(err) { // somebody made it just now; what it lacks the next round sees
			continue
		}
		if err != nil {
			o.err = fmt.Errorf("failed to create PVC %s: %w", name, err)
		}
		if told++; told > maxNotes || client.IsNamespaceTerminating(err) {
			continue
		}
		if err == nil {
			e.Event(e.set, client.Note{Reason: "SuccessfulCreate", Message: fmt.Sprintf("Create Claim %s Pod %s in StatefulSet %s success", name, o.name, e.set.Name)})
		} else {
			e.Event(e.set, client.Note{Warning: true, Reason: "FailedCreate", Message: fmt.Sprintf("Create Claim %s for Pod %s in StatefulSet %s failed error: %v", name, o.name, e.set.Name, err)})
		}
	}
	return nil
}

func batch(c client.Client, ops []client.Op) ([]error, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	return c.Batch(ops, false)
}

// writePods makes and removes pods.
func (e *executor) writePods(out []*outcome) error {
	var ops []client.Op
	var of []*outcome
	for _, o := range out {
		if o.err != nil {
			continue
		}
		switch o.verb {
		case create:
			body, err := e.body(o.action)
			if err != nil {
				return err
			}
			ops = append(ops, client.Op{Verb: client.VerbCreate, Object: &draft{resource: o.resource(), body: body}, Brief: true})
		case remove:
			ops = append(ops, client.Op{Verb: client.VerbDelete, Object: o.pod, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(o.pod.UID)}})
		default:
			continue
		}
		of = append(of, o)
	}
	errs, err := batch(e, ops)
	if err != nil {
		return err
	}
	for i, err := range errs {
		o := of[i]
		switch {
		case o.verb == remove && (client.IsNotFound(err) || client.IsConflict(err)): // gone, or another one by now
		default:
			o.err, o.quiet = err, client.IsAlreadyExists(err)
		}
	}
	return nil
}

func (action) resource() string { return (*pod)(nil).APIResource() }

// body is that of a pod to be made.
func (e *executor) body(a action) ([]byte, error) {
	m := e.molds[a.revision]
	if m == nil {
		t, err := e.templates(a.revision)
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", a.name, err)
		}
		if m, err = newMold(e.set, t, a.revision); err != nil {
			return nil, err
		}
		e.molds[a.revision] = m
	}
	return m.pod(a.ordinal)
}

// mend writes labels and volumes of a pod. The API refuses other volumes of a pod
// that is there, which is then told.
func (e *executor) mend(a action) error {
	if a.labels == nil && a.volumes == nil {
		return nil
	}
	body := map[string]any{"metadata": map[string]any{"uid": a.pod.UID, "labels": a.labels}}
	if a.volumes != nil {
		var list []any
		for _, v := range a.volumes {
			list = append(list, map[string]any{"name": v.Name, "persistentVolumeClaim": v.Claim, "$retainKeys": []string{"name", "persistentVolumeClaim"}})
		}
		body["spec"] = map[string]any{"volumes": list}
	}
	next := *a.pod
	return e.Patch(&next, client.Patch{Type: client.StrategicPatch, Data: body})
}

// giveClaims writes the owners of claims that are as they were read.
func (e *executor) giveClaims(list []reowned) error {
	for _, x := range list {
		next := *x.claim
		refs := slices.Clone(x.refs)
		if refs == nil {
			refs = []metav1.OwnerReference{}
		}
		err := e.Patch(&next, client.Patch{Data: map[string]any{"metadata": map[string]any{
			"uid": x.claim.UID, "resourceVersion": x.claim.ResourceVersion, "ownerReferences": refs}}})
		if err != nil && !client.IsNotFound(err) {
			return fmt.Errorf("could not update claim %s for delete policy ownerRefs: %w", x.claim.Name, err)
		}
	}
	return nil
}
