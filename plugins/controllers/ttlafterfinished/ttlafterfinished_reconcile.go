package ttlafterfinished

import (
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// job is what the controller looks at in a Job.
type job struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished"`
	} `json:"spec"`
	Status struct {
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

type condition struct {
	Type               batchv1.JobConditionType `json:"type"`
	Status             corev1.ConditionStatus   `json:"status"`
	LastTransitionTime metav1.Time              `json:"lastTransitionTime"`
}

// APIResource makes a job a client.Object.
func (*job) APIResource() string { return "batch/v1/jobs" }

// timeLeft is how long the Job may stay yet; 0 when its time is over. ok is
// false while it has no such time: it is not finished, is going already, or is to
// be kept.
func (j *job) timeLeft(now time.Time) (left time.Duration, ok bool) {
	ttl := j.Spec.TTLSecondsAfterFinished
	if ttl == nil || j.DeletionTimestamp != nil {
		return 0, false
	}
	for i := range j.Status.Conditions {
		c := &j.Status.Conditions[i]
		if c.Status != corev1.ConditionTrue || c.Type != batchv1.JobComplete && c.Type != batchv1.JobFailed || c.LastTransitionTime.IsZero() {
			continue
		}
		return max(c.LastTransitionTime.Time().Add(time.Duration(*ttl)*time.Second).Sub(now), 0), true
	}
	return 0, false
}
