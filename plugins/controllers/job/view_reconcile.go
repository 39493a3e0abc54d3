package job

import (
	"slices"
	"strconv"
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// view is a Job and its pods as they are at one moment, counted. It changes
// neither.
type view struct {
	job  *batchv1.Job
	pods []*pod
	now  time.Time

	// spared are pods, by uid, that were deleted just now because the Job succeeded
	// without them: their deletion is no failure.
	spared map[string]bool

	active             []*pod
	ready, terminating int32
	uncounted          map[string]bool // uids in status.uncountedTerminatedPods
	lost               map[string]bool // those of them that failed, whatever they became
	newlySucceeded     []*pod
	newlyFailed        []*pod
	succeeded, failed  int32 // as counted, and those that are about to be

	// Of an indexed Job.
	before  indexes // that have been counted as succeeded
	done    indexes // those, and what succeeded since
	broken  indexes // failed for good, with backoffLimitPerIndex; none is done
	waiting map[int]*pod
}

// look counts.
func look(j *batchv1.Job, pods []*pod, spared map[string]bool, now time.Time) *view {
	v := &view{job: j, pods: pods, now: now, spared: spared, uncounted: map[string]bool{}, lost: map[string]bool{}}
	if u := j.Status.UncountedTerminatedPods; u != nil {
		for _, uid := range u.Succeeded {
			v.uncounted[uid] = true
		}
		for _, uid := range u.Failed {
			v.uncounted[uid], v.lost[uid] = true, true
		}
		v.succeeded, v.failed = int32(len(u.Succeeded)), int32(len(u.Failed))
	}
	v.succeeded += j.Status.Succeeded
	v.failed += j.Status.Failed
	for _, p := range pods {
		v.count(p)
	}
	v.succeeded += int32(len(v.newlySucceeded))
	if indexed(j) {
		v.countIndexes()
	}
	return v
}

func (v *view) count(p *pod) {
	switch {
	case p.active():
		v.active = append(v.active, p)
		if p.ready() {
			v.ready++
		}
	case p.terminating():
		v.terminating++
	}
	if !p.tracked() || v.uncounted[p.UID] || !v.valid(p) {
		return
	}
	switch {
	case p.succeeded():
		v.newlySucceeded = append(v.newlySucceeded, p)
	case v.hasFailed(p):
		v.newlyFailed = append(v.newlyFailed, p)
		if v.judge(p).counts() {
			v.failed++
		}
	}
}

// valid tells that the pod has a part in the Job: with indexes, one of them.
func (v *view) valid(p *pod) bool {
	if !indexed(v.job) {
		return true
	}
	i := p.index()
	return i != unknownIndex && i < v.completions()
}

func (v *view) completions() int { return int(deref(v.job.Spec.Completions, 0)) }

// hasSucceeded tells whether the pod counts as succeeded. One that was named as
// failed while it was being deleted does not, though it may end well yet: it
// would be counted twice.
func (v *view) hasSucceeded(p *pod) bool { return p.succeeded() && !v.lost[p.UID] }

// hasFailed tells whether the pod counts as failed. One that is being deleted
// does, since it may be gone before it says so, unless the Job asks to wait
// (podReplacementPolicy).
func (v *view) hasFailed(p *pod) bool {
	switch {
	case p.Status.Phase == corev1.PodFailed || v.lost[p.UID]:
		return true
	case p.succeeded() || v.spared[p.UID] || replacesFailedOnly(v.job):
		return false
	}
	return p.deleting()
}

func (v *view) judge(p *pod) verdict { return judge(v.job.Spec.PodFailurePolicy, p) }

func (v *view) countIndexes() {
	v.before = parseIndexes(v.job.Status.CompletedIndexes, v.completions())
	var done, broken []int
	for _, p := range v.pods {
		if !p.tracked() || !v.valid(p) {
			continue
		}
		if v.hasSucceeded(p) {
			done = append(done, p.index())
		} else if v.breaksIndex(p) {
			broken = append(broken, p.index())
		}
	}
	v.done = v.before.with(done...)
	v.succeeded = int32(v.done.total())
	if v.job.Spec.BackoffLimitPerIndex == nil {
		return
	}
	v.broken = parseIndexes(deref(v.job.Status.FailedIndexes, ""), v.completions()).with(broken...).minus(v.done)
	v.holdBack()
}

// breaksIndex tells whether the pod's failure is the last that its index may
// have.
func (v *view) breaksIndex(p *pod) bool {
	limit := v.job.Spec.BackoffLimitPerIndex
	if limit == nil || !v.hasFailed(p) {
		return false
	}
	judged := v.judge(p)
	if judged.action == batchv1.PodFailurePolicyActionFailIndex {
		return true
	}
	return judged.counts() && number(p, batchv1.JobIndexFailureCountAnnotation) >= *limit
}

// holdBack finds, for each index that needs another pod, the last one that
// failed: it carries the index's count of failures in its annotations, and so
// must not go before its successor has taken them over.
func (v *view) holdBack() {
	v.waiting = map[int]*pod{}
	running := map[int]bool{}
	for _, p := range v.active {
		running[p.index()] = true
	}
	for _, p := range v.pods {
		if !p.tracked() || !v.valid(p) || !v.hasFailed(p) {
			continue
		}
		i := p.index()
		if running[i] || v.done.has(i) || v.broken.has(i) {
			continue
		}
		if last := v.waiting[i]; last == nil || failures(last) <= failures(p) && !p.finishedAt().Before(last.finishedAt()) {
			v.waiting[i] = p
		}
	}
}

// failures are those of the pod's index before it, ignored ones included.
func failures(p *pod) int32 {
	return number(p, batchv1.JobIndexFailureCountAnnotation) + number(p, batchv1.JobIndexIgnoredFailureCountAnnotation)
}

// number reads a count from an annotation; anybody may have written it.
func number(p *pod, annotation string) int32 {
	n, err := strconv.ParseInt(p.Annotations[annotation], 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int32(n)
}

func indexed(j *batchv1.Job) bool {
	return deref(j.Spec.CompletionMode, batchv1.NonIndexedCompletion) == batchv1.IndexedCompletion
}

func suspended(j *batchv1.Job) bool { return deref(j.Spec.Suspend, false) }

func replacesFailedOnly(j *batchv1.Job) bool {
	return deref(j.Spec.PodReplacementPolicy, batchv1.TerminatingOrFailed) == batchv1.Failed
}

// managedElsewhere tells that another controller acts on the Job.
func managedElsewhere(j *batchv1.Job) bool {
	return deref(j.Spec.ManagedBy, batchv1.JobControllerName) != batchv1.JobControllerName
}

func finished(j *batchv1.Job) bool {
	return isTrue(&j.Status, batchv1.JobComplete) != nil || isTrue(&j.Status, batchv1.JobFailed) != nil
}

// isTrue finds a condition that is true.
func isTrue(s *batchv1.JobStatus, t batchv1.JobConditionType) *batchv1.JobCondition {
	i := slices.IndexFunc(s.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == t && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return nil
	}
	return &s.Conditions[i]
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
