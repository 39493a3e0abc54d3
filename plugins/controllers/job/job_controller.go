// Package job runs pods to their end: it makes as many as a Job asks for,
// replaces those that fail until the Job's limits say otherwise, and counts them
// exactly, whatever crashes when.
//
// RATIONALE.md: "How does a Job count its pods exactly?"
package job

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const kind = "Job"

// maxNotes bounds the events of one batch: beyond, a line for each pod says
// nothing more.
const maxNotes = 100

// soon asks for the next batch.
const soon = time.Millisecond

// ofPod begins the name of a request for a pod that may be nobody's any more; no
// Job has a name like it.
const ofPod = "pod/"

func init() {
	sdk.Register(sdk.Plugin{Name: "job", New: func([]byte) (sdk.Points, error) {
		c := &jobs{known: map[string]remembered{}}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "batch/v1/jobs"},
				{Resource: "v1/pods", Map: controller.Owner("batch/v1/Job")},
				{Resource: "v1/pods", Map: controller.OrphanLabels()},
				{Resource: "v1/pods", Map: controller.Deleting(stray), Fields: []string{"metadata.namespace", "metadata.name", "metadata.finalizers"}},
			},
			Workers: 2,
			Reconcile: func(api client.Client, q controller.Request) (controller.Result, error) {
				return c.reconcile(api, q, api.Now())
			},
		}, nil
	}})
}

// jobs is an instance of the controller. What it remembers may be lost at any
// time: pods are then replaced earlier than they would be, and nothing else.
type jobs struct {
	known map[string]remembered // by namespace/name
}

type remembered struct {
	uid string
	backoff
}

// maxRemembered bounds the memory of an instance.
const maxRemembered = 10_000

func (m *jobs) remember(j *batchv1.Job, b backoff) {
	key := j.Namespace + "/" + j.Name
	switch {
	case b.failures == 0:
		delete(m.known, key)
	case len(m.known) < maxRemembered || m.known[key].uid != "":
		m.known[key] = remembered{j.UID, b}
	}
}

// recalled is what is remembered of a Job.
func (m *jobs) recalled(j *batchv1.Job) backoff {
	if r := m.known[j.Namespace+"/"+j.Name]; r.uid == j.UID {
		return r.backoff
	}
	return backoff{}
}

// stray requests a look at a pod that is being deleted and has the finalizer:
// its Job may be gone, so that nobody else would remove it.
func stray(o sdk.Value) []controller.Request {
	for _, f := range o.Get("metadata.finalizers").Items() {
		if f.String() == batchv1.JobTrackingFinalizer {
			return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: ofPod + o.Get("metadata.name").String()}}
		}
	}
	return nil
}

func (m *jobs) reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	if q.Labels != "" {
		return orphans(c, q.Namespace, q.Labels.Map())
	}
	if name, ok := strings.CutPrefix(q.Name, ofPod); ok {
		return controller.Result{}, letGo(c, q.Namespace, name)
	}
	j := &batchv1.Job{}
	if err := c.Get(j, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			delete(m.known, q.Namespace+"/"+q.Name)
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	switch mode := deref(j.Spec.CompletionMode, batchv1.NonIndexedCompletion); {
	case managedElsewhere(j):
		return controller.Result{}, nil
	case finished(j):
		m.remember(j, backoff{})
		return controller.Result{}, sweep(c, j)
	case mode != batchv1.NonIndexedCompletion && mode != batchv1.IndexedCompletion:
		c.Event(j, client.Note{Warning: true, Reason: "UnknownCompletionMode", Message: "Skipped Job sync because completion mode is unknown"})
		return controller.Result{}, nil
	}
	return m.sync(c, j, now)
}

// sync does what decide says and counts what there is then.
func (m *jobs) sync(c client.Client, j *batchv1.Job, now time.Time) (controller.Result, error) {
	pods, err := claim(c, j)
	if err != nil {
		return controller.Result{}, err
	}
	v := look(j, pods, nil, now)
	p := decide(v, m.recalled(j))
	acted := act(c, j, p)
	if client.IsNamespaceTerminating(acted) {
		acted, p.more = nil, false // nothing can be made there any more, and the Job goes too
	}
	if len(p.remove)+len(p.create) > 0 {
		if pods, err = list(c, j); err != nil {
			return controller.Result{}, errors.Join(acted, err)
		}
		v = look(j, pods, spared(p), now)
	}
	t := track(v, p)
	if err := report(c, j, t.status, t.notes); err != nil {
		return controller.Result{}, errors.Join(acted, err)
	}
	m.remember(j, p.known)
	left, stripped := strip(c, v, t.strip)
	status, notes := conclude(v, t, left)
	if err := report(c, j, status, notes); err != nil {
		return controller.Result{}, errors.Join(acted, stripped, err)
	}
	res := controller.Result{RequeueAfter: p.wait}
	if p.more || t.more {
		res.RequeueAfter = soon
	}
	return res, errors.Join(acted, stripped)
}

// spared are the pods that a Job removes because it succeeded without them.
func spared(p plan) map[string]bool {
	if p.end == nil || p.end.Type != batchv1.JobSuccessCriteriaMet {
		return nil
	}
	out := make(map[string]bool, len(p.remove))
	for _, x := range p.remove {
		out[x.UID] = true
	}
	return out
}

// report writes the status when it differs, and then says what happened.
func report(c client.Client, j *batchv1.Job, status batchv1.JobStatus, notes []client.Note) error {
	if reflect.DeepEqual(j.Status, status) {
		return nil
	}
	j.Status = status
	if err := c.UpdateStatus(j); err != nil {
		if client.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("update status: %w", err)
	}
	for _, n := range notes {
		c.Event(j, n)
	}
	return nil
}
