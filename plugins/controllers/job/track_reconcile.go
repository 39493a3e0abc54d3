package job

import (
	"slices"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// Counting takes three writes, so that a crash between any two of them neither
// counts a pod twice nor loses one (KEP-2307): the status names the pods that
// ended (with indexes, their indexes); their finalizers are removed, after which
// they may vanish; the status counts those that have none any more and no longer
// names them.

// tracking is what to write for counting, in order.
type tracking struct {
	status batchv1.JobStatus // to be written first, unless it is as it was
	strip  []*pod            // to lose their finalizers then
	more   bool              // pods that ended are left for another round
	end    *batchv1.JobCondition
	notes  []client.Note // to be recorded when the status is written
}

// track follows what was done by a plan: v is what there is after it.
func track(v *view, p plan) tracking {
	t := tracking{status: *client.Clone(&v.job.Status), end: p.end}
	s := &t.status
	if s.UncountedTerminatedPods == nil {
		s.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	s.StartTime = p.start
	switch {
	case p.end != nil && len(v.active) > 0:
		t.end = nil // not all could be deleted: it cannot end yet
	case p.end == nil && v.complete():
		t.end = newCondition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods", v.now)
	case p.managed:
		t.suspension(v)
	}
	s.Active, s.Ready, s.Terminating = int32(len(v.active)), &v.ready, &v.terminating
	settle(s, v.pods)
	t.count(v)
	if t.end != nil && isTrue(s, t.end.Type) == nil {
		s.Conditions = append(s.Conditions, *t.end)
	}
	return t
}

// complete tells whether the Job has what it wants: the succeeded pods that it
// asks for or, if it does not say how many, one, and none is running.
func (v *view) complete() bool {
	if len(v.active) > 0 {
		return false
	}
	if v.job.Spec.Completions == nil {
		return v.succeeded > 0
	}
	return v.succeeded >= *v.job.Spec.Completions
}

// suspension keeps the condition Suspended. The time of a deadline does not run
// while the Job is suspended.
func (t *tracking) suspension(v *view) {
	s := &t.status
	now := metav1.NewTime(v.now)
	at := slices.IndexFunc(s.Conditions, func(c batchv1.JobCondition) bool { return c.Type == batchv1.JobSuspended })
	is := at >= 0 && s.Conditions[at].Status == corev1.ConditionTrue
	switch {
	case is == suspended(v.job):
		return
	case is:
		c := newCondition(batchv1.JobSuspended, "JobResumed", "Job resumed", v.now)
		c.Status = corev1.ConditionFalse
		s.Conditions[at], s.StartTime = *c, &now
		t.notes = append(t.notes, client.Note{Reason: "Resumed", Message: "Job resumed"})
		return
	}
	c := *newCondition(batchv1.JobSuspended, "JobSuspended", "Job suspended", v.now)
	if at < 0 {
		s.Conditions = append(s.Conditions, c)
	} else {
		s.Conditions[at] = c
	}
	s.StartTime = nil
	t.notes = append(t.notes, client.Note{Reason: "Suspended", Message: "Job suspended"})
}

// count names the pods that ended, as many as there is room for.
func (t *tracking) count(v *view) {
	s := &t.status
	u := s.UncountedTerminatedPods
	pods := slices.DeleteFunc(slices.Clone(v.pods), func(p *pod) bool { return !p.tracked() || !t.mayGo(v, p) })
	slices.SortStableFunc(pods, func(a, b *pod) int { return a.index() - b.index() })
	var done []int
	for _, p := range pods {
		if len(done)+len(u.Succeeded)+len(u.Failed) >= maxBatch {
			t.more = true
			break
		}
		t.strip = append(t.strip, p)
		switch {
		case v.hasSucceeded(p) && indexed(v.job): // its index keeps it from being counted again
			if v.valid(p) && !v.before.has(p.index()) {
				done = append(done, p.index())
			}
		case v.uncounted[p.UID]:
		case p.succeeded():
			u.Succeeded = append(u.Succeeded, p.UID)
		case (v.hasFailed(p) || t.fails() && !v.spared[p.UID]) && v.valid(p) && v.judge(p).counts():
			u.Failed = append(u.Failed, p.UID)
		}
	}
	if indexed(v.job) {
		all := v.before.with(done...)
		s.CompletedIndexes, s.Succeeded = all.String(), int32(all.total())
		s.FailedIndexes = nil
		if v.job.Spec.BackoffLimitPerIndex != nil {
			broken := v.broken.String()
			s.FailedIndexes = &broken
		}
	}
}

// fails tells that the Job ends without success: what runs of it counts as
// failed.
func (t *tracking) fails() bool {
	return t.end != nil && t.end.Type == batchv1.JobFailureTarget
}

// mayGo tells whether the pod needs its finalizer no longer.
func (t *tracking) mayGo(v *view, p *pod) bool {
	if v.job.DeletionTimestamp != nil || t.end != nil || v.hasSucceeded(p) {
		return true
	}
	return v.hasFailed(p) && v.waiting[p.index()] != p
}

// settle counts the named pods that have no finalizer any more, or are gone,
// and names them no longer.
func settle(s *batchv1.JobStatus, pods []*pod) {
	u := *s.UncountedTerminatedPods
	if len(u.Succeeded)+len(u.Failed) == 0 {
		return
	}
	held := map[string]bool{}
	for _, p := range pods {
		if p.tracked() {
			held[p.UID] = true
		}
	}
	gone := func(uid string) bool { return !held[uid] }
	n := len(u.Succeeded)
	u.Succeeded = slices.DeleteFunc(slices.Clone(u.Succeeded), gone)
	s.Succeeded += int32(n - len(u.Succeeded))
	n = len(u.Failed)
	u.Failed = slices.DeleteFunc(slices.Clone(u.Failed), gone)
	s.Failed += int32(n - len(u.Failed))
	s.UncountedTerminatedPods = &u
}

// conclude is the status after the finalizers were removed: left are the pods
// that have theirs still. The Job is finished when all is counted and nothing
// runs any more; notes say so.
func conclude(v *view, t tracking, left []*pod) (batchv1.JobStatus, []client.Note) {
	s := *client.Clone(&t.status)
	settle(&s, left)
	u := s.UncountedTerminatedPods
	if t.end == nil || t.more || len(u.Succeeded)+len(u.Failed) > 0 || v.terminating > 0 {
		return s, nil
	}
	if t.end.Type == batchv1.JobFailureTarget {
		s.Conditions = append(s.Conditions, *newCondition(batchv1.JobFailed, t.end.Reason, t.end.Message, v.now))
		return s, []client.Note{{Warning: true, Reason: t.end.Reason, Message: t.end.Message}}
	}
	c := newCondition(batchv1.JobComplete, t.end.Reason, t.end.Message, v.now)
	s.Conditions, s.CompletionTime = append(s.Conditions, *c), &c.LastTransitionTime
	var notes []client.Note
	if want := v.job.Spec.Completions; want != nil && s.Succeeded > *want {
		notes = append(notes, client.Note{Warning: true, Reason: "TooManySucceededPods", Message: "Too many succeeded pods running after completion count reached"})
	}
	return s, append(notes, client.Note{Reason: "Completed", Message: "Job completed"})
}
