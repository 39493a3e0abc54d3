package ttlafterfinished

import (
	"testing"
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// finished is a Job that came to an end so long ago, and may stay for ttl.
func finished(ttl int32, t batchv1.JobConditionType, ago time.Duration) *batchv1.Job {
	j := &batchv1.Job{}
	j.Name, j.Namespace = "j", "default"
	j.Spec.TTLSecondsAfterFinished = &ttl
	j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))},
		{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-ago))}}
	return j
}

func kept(j *batchv1.Job) *batchv1.Job {
	j.Spec.TTLSecondsAfterFinished = nil
	return j
}

func unlike(j *batchv1.Job) *batchv1.Job {
	j.Status.Conditions[1].Status = corev1.ConditionFalse
	return j
}

func timeless(j *batchv1.Job) *batchv1.Job {
	j.Status.Conditions[1].LastTransitionTime = ""
	return j
}

func going(j *batchv1.Job) *batchv1.Job {
	at := metav1.NewTime(now)
	j.DeletionTimestamp, j.Finalizers = &at, []string{"foregroundDeletion"}
	return j
}

func TestReconcile(t *testing.T) {
	for name, c := range map[string]struct {
		job  *batchv1.Job
		wait time.Duration
		gone bool
	}{
		"its time is over":    {finished(60, batchv1.JobComplete, time.Minute), 0, true},
		"it failed":           {finished(0, batchv1.JobFailed, 0), 0, true},
		"not yet":             {finished(60, batchv1.JobComplete, 50*time.Second), 10 * time.Second, false},
		"finished in future":  {finished(60, batchv1.JobComplete, -10*time.Second), 70 * time.Second, false},
		"it runs":             {finished(0, batchv1.JobFailureTarget, time.Hour), 0, false},
		"it did not complete": {unlike(finished(0, batchv1.JobComplete, time.Hour)), 0, false},
		"nobody knows when":   {timeless(finished(0, batchv1.JobComplete, time.Hour)), 0, false},
		"it is to be kept":    {kept(finished(0, batchv1.JobComplete, time.Hour)), 0, false},
		"it goes already":     {going(finished(0, batchv1.JobComplete, time.Hour)), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sdktest.NewStore(c.job)
			if err != nil {
				t.Fatal(err)
			}
			res, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "j"}, now)
			if err != nil || res.RequeueAfter != c.wait || (len(s.Keys()) == 0) != c.gone {
				t.Errorf("wait %v, left %v, %v", res.RequeueAfter, s.Keys(), err)
			}
		})
	}
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "j"}, now); err != nil {
		t.Error(err)
	}
}
