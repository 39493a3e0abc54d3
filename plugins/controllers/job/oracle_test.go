package job

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var errCrash = errors.New("killed")

// mortal is the client of a controller that is killed after so many writes, in
// the middle of a batch as well.
type mortal struct {
	client.Client
	lives int // writes that are still made; negative: no limit
	check func()
}

func (m *mortal) write(do func() error) error {
	if m.lives == 0 {
		return errCrash
	}
	m.lives--
	err := do()
	m.check()
	return err
}

func (m *mortal) UpdateStatus(o client.Object) error {
	return m.write(func() error { return m.Client.UpdateStatus(o) })
}

func (m *mortal) Patch(o client.Object, p client.Patch) error {
	return m.write(func() error { return m.Client.Patch(o, p) })
}

func (m *mortal) Batch(ops []client.Op, atomic bool) ([]error, error) {
	var out []error
	for i := range ops {
		err := m.write(func() error {
			errs, err := m.Client.Batch(ops[i:i+1], atomic)
			out = append(out, errs...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// history is what became of the pods of a Job, as an onlooker saw it.
type history struct {
	t       *testing.T
	r       *rand.Rand
	api     client.Client
	name    string
	now     time.Time
	started map[string]*pod // by uid, as last seen
	ended   map[string]corev1.PodPhase
	named   map[string]corev1.PodPhase // in uncountedTerminatedPods, ever
}

func (h *history) job() *batchv1.Job {
	j := &batchv1.Job{}
	if err := h.api.Get(j, "default", "j"); err != nil {
		h.t.Fatal(err)
	}
	return j
}

func (h *history) pods() []*pod {
	var out []*pod
	if err := h.api.List(&out, client.ListOptions{Namespace: "default"}); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// watch sees every state that is ever stored.
func (h *history) watch() {
	for _, p := range h.pods() {
		h.started[p.UID] = p
	}
	j := h.job()
	// Validation refuses a status in which an index both succeeded and failed.
	done, broken := parseIndexes(j.Status.CompletedIndexes, 1<<30), parseIndexes(deref(j.Status.FailedIndexes, ""), 1<<30)
	if done.shared(broken) > 0 {
		h.t.Fatalf("%s: indexes %s succeeded and %s failed", h.name, done, broken)
	}
	u := j.Status.UncountedTerminatedPods
	if u == nil {
		return
	}
	name := func(uids []string, as corev1.PodPhase) {
		for _, uid := range uids {
			if was, ok := h.named[uid]; ok && was != as {
				h.t.Fatalf("%s: pod %s is named as %s and as %s", h.name, uid, was, as)
			}
			h.named[uid] = as
		}
	}
	name(u.Succeeded, corev1.PodSucceeded)
	name(u.Failed, corev1.PodFailed)
}

// live lets something happen to a pod, or to the Job.
func (h *history) live(calm bool) {
	defer h.watch()
	pods := slices.DeleteFunc(h.pods(), func(p *pod) bool { return p.finished() })
	if len(pods) == 0 {
		return
	}
	p := pods[h.r.IntN(len(pods))]
	phase := corev1.PodSucceeded
	if h.r.IntN(4) == 0 && !calm {
		phase = corev1.PodFailed
	}
	if !calm && !p.deleting() && h.r.IntN(6) == 0 {
		if err := h.api.Delete(p, client.DeleteOptions{}); err != nil {
			h.t.Fatal(err)
		}
		return
	}
	at := metav1.NewTime(h.now)
	next := *p
	err := h.api.Patch(&next, client.Patch{Data: map[string]any{"status": map[string]any{"phase": phase,
		"containerStatuses": []any{map[string]any{"name": "c", "state": map[string]any{"terminated": map[string]any{"exitCode": 1, "finishedAt": at}}}}}}})
	if err != nil {
		h.t.Fatal(err)
	}
	if next.tracked() {
		h.ended[p.UID] = phase
	}
}

func (h *history) edit() {
	if h.r.IntN(3) > 0 || finished(h.job()) {
		return
	}
	j := h.job()
	switch h.r.IntN(3) {
	case 0:
		on := !suspended(j)
		j.Spec.Suspend = &on
	default:
		n := int32(h.r.IntN(6))
		j.Spec.Parallelism = &n
	}
	if err := h.api.Update(j); err != nil {
		h.t.Fatal(err)
	}
}

// run reconciles, with an instance that is killed at any write.
func (h *history) run(m *jobs, s *sdktest.Store, lives int) (*jobs, controller.Result) {
	c := &mortal{Client: s.Client(), lives: lives, check: h.watch}
	res, err := m.reconcile(c, controller.Request{Namespace: "default", Name: "j"}, h.now)
	if err == nil {
		return m, res
	}
	if !errors.Is(err, errCrash) && !client.IsConflict(err) {
		h.t.Fatalf("%s: %v", h.name, err)
	}
	return &jobs{known: map[string]remembered{}}, controller.Result{RequeueAfter: 1}
}

func randomJob(r *rand.Rand) *batchv1.Job {
	n, limit := int32(1+r.IntN(12)), int32(3+r.IntN(40))
	j := newJob(n, int32(1+r.IntN(5)))
	j.Spec.BackoffLimit = &limit
	if r.IntN(2) == 0 {
		policy := batchv1.Failed
		j.Spec.PodReplacementPolicy = &policy
	}
	switch r.IntN(3) {
	case 0:
		mode := batchv1.IndexedCompletion
		j.Spec.CompletionMode = &mode
		if r.IntN(2) == 0 {
			per, all := int32(r.IntN(4)), int32(1<<30)
			j.Spec.BackoffLimitPerIndex, j.Spec.BackoffLimit = &per, &all
		}
	case 1:
		if r.IntN(3) == 0 {
			j.Spec.Completions = nil
		}
	}
	return j
}

// TestCountsAreExact lets Jobs live through anything, with controllers that are
// killed between any two writes: no pod that ended is counted twice or not at
// all, and no finalizer stays behind.
func TestCountsAreExact(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 9))
		j := randomJob(r)
		s, err := sdktest.NewStore(j)
		if err != nil {
			t.Fatal(err)
		}
		h := &history{t: t, r: r, api: s.Client(), name: fmt.Sprint("seed ", seed), now: time.Now(),
			started: map[string]*pod{}, ended: map[string]corev1.PodPhase{}, named: map[string]corev1.PodPhase{}}
		m := &jobs{known: map[string]remembered{}}
		for step := 0; !finished(h.job()); step++ {
			if step == 3000 {
				t.Fatalf("%s: does not end: %+v", h.name, h.job().Status)
			}
			h.now = h.now.Add(11 * time.Minute)
			calm := step > 300
			for range r.IntN(4) {
				h.live(calm)
			}
			if !calm {
				h.edit()
			} else if k := h.job(); suspended(k) || *k.Spec.Parallelism == 0 {
				no, three := false, int32(3)
				k.Spec.Suspend, k.Spec.Parallelism = &no, &three
				if err := h.api.Update(k); err != nil {
					t.Fatal(err)
				}
			}
			lives := r.IntN(12)
			if calm {
				lives = -1
			}
			m, _ = h.run(m, s, lives)
		}
		h.run(m, s, -1)
		h.judge()
	}
}

func (h *history) judge() {
	h.t.Helper()
	j := h.job()
	st := j.Status
	if u := st.UncountedTerminatedPods; u != nil && len(u.Succeeded)+len(u.Failed) > 0 {
		h.t.Errorf("%s: uncounted at the end: %+v", h.name, u)
	}
	for _, p := range h.pods() {
		if p.tracked() || p.active() {
			h.t.Errorf("%s: pod %s is left, finalizers %v, phase %s", h.name, p.Name, p.Finalizers, p.Status.Phase)
		}
	}
	var succeeded, failed int32
	var done indexes
	for uid, as := range h.named {
		if as == corev1.PodSucceeded {
			succeeded++
		} else {
			failed++
		}
		if as == corev1.PodSucceeded && h.ended[uid] != corev1.PodSucceeded {
			h.t.Errorf("%s: pod %s counts as succeeded, and ended %q", h.name, uid, h.ended[uid])
		}
	}
	for uid, as := range h.ended {
		// One that was named as failed is counted, whatever it became.
		if as == corev1.PodSucceeded && indexed(j) && h.named[uid] != corev1.PodFailed {
			done = done.with(h.started[uid].index())
			continue
		}
		if _, ok := h.named[uid]; !ok {
			h.t.Errorf("%s: pod %s ended %s and was never counted", h.name, uid, as)
		}
	}
	if indexed(j) {
		succeeded = int32(done.total())
		if st.CompletedIndexes != done.String() {
			h.t.Errorf("%s: completed indexes are %q, want %q", h.name, st.CompletedIndexes, done)
		}
	}
	if st.Succeeded != succeeded || st.Failed != failed {
		h.t.Errorf("%s: %d succeeded and %d failed are counted, want %d and %d", h.name, st.Succeeded, st.Failed, succeeded, failed)
	}
	if st.Active != 0 || deref(st.Terminating, 0) != 0 {
		h.t.Errorf("%s: %d active, %d terminating at the end", h.name, st.Active, deref(st.Terminating, 0))
	}
}
