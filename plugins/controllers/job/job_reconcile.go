package job

import (
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// maxBatch bounds the pods made or removed by one reconcile, and the uids in
// status.uncountedTerminatedPods, which thereby stay below 20 KB.
const maxBatch = 500

// plan is what to do about a Job's pods.
type plan struct {
	// end is set when the Job is to end: FailureTarget or SuccessCriteriaMet as
	// they are decided now, or as they stand in the status.
	end *batchv1.JobCondition

	// remove are the pods to delete. Those of a Job that ends keep the finalizer
	// until they are counted; others are let go of first, and not counted.
	remove []*pod
	create []creation
	more   bool // another batch is to follow

	// managed tells that the number of pods was looked after, so that the Job may be
	// said to be suspended, resumed or complete.
	managed bool

	start *metav1.Time  // status.startTime
	wait  time.Duration // look again after it; 0: there is no need
	known backoff
}

// creation is a pod to be made.
type creation struct {
	index             int // unknownIndex unless the Job is indexed
	failures, ignored int32
}

// decide says what to do about the pods, and whether the Job ends.
func decide(v *view, known backoff) plan {
	p := plan{known: v.recall(known), start: v.job.Status.StartTime}
	if p.start == nil && !suspended(v.job) {
		now := metav1.NewTime(v.now)
		p.start = &now
	}
	p.end = v.ending(&p)
	switch {
	case p.end != nil:
		p.remove = v.active
	case v.job.DeletionTimestamp == nil:
		p.managed = true
		v.resize(&p)
	}
	return p
}

// ending is the condition that ends the Job, in upstream's order: what stands
// in the status, failures, success by the success policy.
func (v *view) ending(p *plan) *batchv1.JobCondition {
	for _, t := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget} {
		if c := isTrue(&v.job.Status, t); c != nil {
			return client.Clone(c)
		}
	}
	if c := v.failure(p); c != nil {
		return c
	}
	if !indexed(v.job) {
		return nil
	}
	if n := v.broken.total(); v.job.Spec.BackoffLimitPerIndex != nil && n > 0 {
		if limit := v.job.Spec.MaxFailedIndexes; limit != nil && n > int(*limit) {
			return v.fails(batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes")
		}
		if n+v.done.total() >= v.completions() {
			return v.fails(batchv1.JobReasonFailedIndexes, "Job has failed indexes")
		}
	}
	if message, ok := succeededBy(v.job.Spec.SuccessPolicy, v.completions(), v.done); ok {
		return newCondition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonSuccessPolicy, message, v.now)
	}
	return nil
}

// failure is that of the Job as a whole.
func (v *view) failure(p *plan) *batchv1.JobCondition {
	for _, x := range v.pods {
		if v.job.Spec.PodFailurePolicy == nil || !v.hasFailed(x) {
			continue
		}
		if judged := v.judge(x); judged.action == batchv1.PodFailurePolicyActionFailJob {
			return v.fails(batchv1.JobReasonPodFailurePolicy, judged.message)
		}
	}
	if v.failed > deref(v.job.Spec.BackoffLimit, 6) || v.restartedTooOften() {
		return v.fails(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
	}
	if limit := v.job.Spec.ActiveDeadlineSeconds; limit != nil && p.start != nil && !suspended(v.job) {
		left := p.start.Time().Add(time.Duration(*limit) * time.Second).Sub(v.now)
		if left <= 0 {
			return v.fails(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
		}
		p.again(left)
	}
	return nil
}

func (v *view) fails(reason, message string) *batchv1.JobCondition {
	return newCondition(batchv1.JobFailureTarget, reason, message, v.now)
}

// restartedTooOften tells whether the containers of pods that restart on
// failure used up the limit.
func (v *view) restartedTooOften() bool {
	if v.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	var n int32
	for _, p := range v.pods {
		if p.Status.Phase != corev1.PodRunning && p.Status.Phase != corev1.PodPending {
			continue
		}
		for _, list := range [][]container{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range list {
				n += list[i].RestartCount
			}
		}
	}
	return n >= max(deref(v.job.Spec.BackoffLimit, 6), 1)
}

// again asks for another look, the earliest of all.
func (p *plan) again(d time.Duration) {
	if p.wait == 0 || d < p.wait {
		p.wait = d
	}
}

func newCondition(t batchv1.JobConditionType, reason, message string, now time.Time) *batchv1.JobCondition {
	at := metav1.NewTime(now)
	return &batchv1.JobCondition{Type: t, Status: corev1.ConditionTrue, LastProbeTime: at, LastTransitionTime: at, Reason: reason, Message: message}
}
