package job

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
)

// kept puts objects into a store.
func kept(t *testing.T, objects ...client.Object) (*sdktest.Store, client.Client) {
	t.Helper()
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Client()
}

func reconciled(t *testing.T, c client.Client, q controller.Request) controller.Result {
	t.Helper()
	q.Namespace = "default"
	res, err := (&jobs{known: map[string]remembered{}}).reconcile(c, q, now)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func read(t *testing.T, c client.Client, name string) *pod {
	t.Helper()
	p := &pod{}
	if err := c.Get(p, "default", name); err != nil {
		t.Fatal(err)
	}
	return p
}

func orphan(p *pod)     { p.OwnerReferences = nil }
func relabelled(p *pod) { p.Labels = map[string]string{"job": "other"} }

// A Job adopts pods that match and have no owner, tracks and counts them, and
// lets go of what matches no longer.
func TestAdoptAndRelease(t *testing.T) {
	_, c := kept(t, newJob(3, 2), podOf("running", orphan, let), podOf("ended", orphan, let, exited(0, 0)), podOf("astray", relabelled))
	reconciled(t, c, controller.Request{Name: "j"})
	if p := read(t, c, "running"); !p.tracked() || len(p.OwnerReferences) != 1 || p.OwnerReferences[0].UID != "job" {
		t.Errorf("running: finalizers %v, owners %v", p.Finalizers, p.OwnerReferences)
	}
	if p := read(t, c, "ended"); p.tracked() || len(p.OwnerReferences) != 1 {
		t.Errorf("ended: finalizers %v, owners %v", p.Finalizers, p.OwnerReferences)
	}
	if p := read(t, c, "astray"); p.tracked() || len(p.OwnerReferences) != 0 {
		t.Errorf("astray: finalizers %v, owners %v", p.Finalizers, p.OwnerReferences)
	}
	j := &batchv1.Job{}
	if err := c.Get(j, "default", "j"); err != nil {
		t.Fatal(err)
	}
	if got, want := statusLine(j.Status), "2/1/0 1+0"; got != want {
		t.Errorf("status %s, want %s", got, want)
	}
}

func TestEvents(t *testing.T) {
	s, c := kept(t, jobWith(newJob(2, 2), limit(0)))
	reconciled(t, c, controller.Request{Name: "j"})
	var all []*pod
	if err := c.List(&all, client.ListOptions{}); err != nil || len(all) != 2 {
		t.Fatalf("%d pods, %v", len(all), err)
	}
	var want []string
	for _, p := range all {
		want = append(want, "j SuccessfulCreate: Created pod: "+p.Name)
	}
	bad, other := *all[0], all[1].Name
	if err := c.Patch(&bad, client.Patch{Data: map[string]any{"status": map[string]any{"phase": "Failed"}}}); err != nil {
		t.Fatal(err)
	}
	reconciled(t, c, controller.Request{Name: "j"})
	reconciled(t, c, controller.Request{Name: "j"})
	want = append(want, "j SuccessfulDelete: Deleted pod: "+other, "j BackoffLimitExceeded: Job has reached the specified backoff limit")
	if diff := cmp.Diff(want, s.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// refusing is an API that makes no pods.
type refusing struct {
	client.Client
	because error
}

func (r refusing) Batch(ops []client.Op, _ bool) ([]error, error) {
	return slices.Repeat([]error{r.because}, len(ops)), nil
}

func TestCreationFails(t *testing.T) {
	s, c := kept(t, newJob(3, 2))
	_, err := (&jobs{}).reconcile(refusing{c, errors.New("quota")}, controller.Request{Namespace: "default", Name: "j"}, now)
	if err == nil || !strings.Contains(err.Error(), "quota") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"j FailedCreate: Error creating: quota"}, s.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	j := &batchv1.Job{}
	if err := c.Get(j, "default", "j"); err != nil || j.Status.StartTime == nil || j.Status.Active != 0 {
		t.Errorf("status %+v, %v", j.Status, err)
	}
}

// In a namespace that goes, a Job does not try again and again.
func TestNamespaceGoes(t *testing.T) {
	s, c := kept(t, newJob(2000, 2000))
	res, err := (&jobs{}).reconcile(refusing{c, wire.ErrTerminating}, controller.Request{Namespace: "default", Name: "j"}, now)
	if err != nil || res.RequeueAfter != 0 || len(s.Notes) > 0 {
		t.Errorf("again after %v, %v, events %v", res.RequeueAfter, err, s.Notes)
	}
}

func elsewhere(j *batchv1.Job) { other := "example.com/mine"; j.Spec.ManagedBy = &other }

func strange(j *batchv1.Job) {
	mode := batchv1.CompletionMode("Strange")
	j.Spec.CompletionMode = &mode
}

// What is another controller's, or not known, is left alone.
func TestLeavesAlone(t *testing.T) {
	for _, change := range []changeJob{elsewhere, strange} {
		s, c := kept(t, jobWith(newJob(3, 2), change), podOf("ended", exited(0, 0)), podOf("stray", deleted))
		reconciled(t, c, controller.Request{Name: "j"})
		reconciled(t, c, controller.Request{Name: ofPod + "stray"})
		if len(s.Keys()) != 3 || !read(t, c, "ended").tracked() || !read(t, c, "stray").tracked() {
			t.Errorf("touched: %v", s.Keys())
		}
	}
}

// No finalizer stays behind when there is no Job to count for.
func TestFinalizersOfNobody(t *testing.T) {
	other := func(p *pod) { p.OwnerReferences[0].Kind = "Workflow" }
	for name, c := range map[string]struct {
		job  *batchv1.Job
		pod  *pod
		ask  controller.Request
		kept bool
	}{
		"the Job is gone":                 {nil, podOf("p", deleted), controller.Request{Name: ofPod + "p"}, false},
		"another Job has the name":        {jobWith(newJob(1, 1), func(j *batchv1.Job) { j.UID = "new" }), podOf("p", deleted), controller.Request{Name: ofPod + "p"}, false},
		"the Job will count it":           {newJob(1, 1), podOf("p", deleted), controller.Request{Name: ofPod + "p"}, true},
		"somebody else's":                 {nil, podOf("p", deleted, other), controller.Request{Name: ofPod + "p"}, true},
		"the Job goes, and counts it":     {jobWith(newJob(1, 1), deletedJob), podOf("p", deleted), controller.Request{Name: ofPod + "p"}, true},
		"the Job goes without it":         {jobWith(newJob(1, 1), deletedJob), podOf("p", deleted, relabelled), controller.Request{Name: ofPod + "p"}, false},
		"it goes after the pod":           {jobWith(newJob(1, 1), deletedJob), podOf("p", deleted, relabelled), controller.Request{Name: "j"}, false},
		"it goes, and the pod stays":      {jobWith(newJob(1, 1), deletedJob), podOf("p", relabelled), controller.Request{Name: "j"}, true},
		"another's that goes":             {jobWith(newJob(1, 1), deletedJob, elsewhere), podOf("p", deleted, relabelled), controller.Request{Name: ofPod + "p"}, true},
		"the Job is finished":             {jobWith(newJob(1, 1), said(batchv1.JobComplete, "")), podOf("p"), controller.Request{Name: "j"}, false},
		"orphaned":                        {nil, podOf("p", orphan), controller.Request{Labels: controller.LabelSetOf(map[string]string{"job": "j"})}, false},
		"orphaned, and a Job may take it": {newJob(1, 1), podOf("p", orphan), controller.Request{Labels: controller.LabelSetOf(map[string]string{"job": "j"})}, true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{c.pod}
			if c.job != nil {
				objects = append(objects, c.job)
			}
			_, api := kept(t, objects...)
			res := reconciled(t, api, c.ask)
			p := &pod{}
			err := api.Get(p, "default", "p")
			if err != nil && !client.IsNotFound(err) {
				t.Fatal(err)
			}
			if held := err == nil && p.tracked(); held != c.kept {
				t.Errorf("finalizer kept: %v", held)
			}
			if name == "orphaned, and a Job may take it" && (len(res.Enqueue) != 1 || res.Enqueue[0].Name != "j") {
				t.Errorf("requests %v", res.Enqueue)
			}
		})
	}
}

func TestStray(t *testing.T) {
	if got := stray(sdktest.Value(t, podOf("p", deleted))); len(got) != 1 || got[0] != (controller.Request{Namespace: "default", Name: "pod/p"}) {
		t.Errorf("requests %v", got)
	}
	if got := stray(sdktest.Value(t, podOf("p", deleted, let))); len(got) != 0 {
		t.Errorf("requests %v of a pod without the finalizer", got)
	}
}

// An instance forgets what it need not know.
func TestMemory(t *testing.T) {
	m := &jobs{known: map[string]remembered{}}
	j, b := newJob(1, 1), backoff{failures: 3, last: now}
	m.remember(j, b)
	if got := m.recalled(j); got != b {
		t.Errorf("recalled %+v", got)
	}
	again := newJob(1, 1)
	again.UID = "new"
	if got := m.recalled(again); got != (backoff{}) {
		t.Errorf("of another Job of the name: %+v", got)
	}
	_, c := kept(t)
	if _, err := m.reconcile(c, controller.Request{Namespace: "default", Name: "j"}, now); err != nil || len(m.known) != 0 {
		t.Errorf("%d are known after it is gone, %v", len(m.known), err)
	}
	for i := range maxRemembered + 5 {
		k := newJob(1, 1)
		k.Name = strings.Repeat("x", i%50) + string(rune('a'+i/50%26)) + strings.Repeat("y", i/1300)
		m.remember(k, b)
	}
	if len(m.known) > maxRemembered {
		t.Errorf("%d are known", len(m.known))
	}
}
