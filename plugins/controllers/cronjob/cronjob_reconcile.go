package cronjob

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// job is what the controller looks at in a Job of its own.
type job struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Conditions     []condition  `json:"conditions"`
		StartTime      *metav1.Time `json:"startTime"`
		CompletionTime *metav1.Time `json:"completionTime"`
	} `json:"status"`
}

type condition struct {
	Type   batchv1.JobConditionType `json:"type"`
	Status corev1.ConditionStatus   `json:"status"`
}

// APIResource makes a job a client.Object.
func (*job) APIResource() string { return "batch/v1/jobs" }

// end is what the Job ended as; "" while it runs.
func (j *job) end() batchv1.JobConditionType {
	for _, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c.Type
		}
	}
	return ""
}

// plan is what to do for a CronJob.
type plan struct {
	status  batchv1.CronJobStatus
	forget  []*job                   // beyond the limits of history
	replace []corev1.ObjectReference // to be deleted before the start
	start   *batchv1.Job
	at      time.Time // for which it is started
	wait    time.Duration
	notes   []client.Note
}

func (p *plan) note(warning bool, reason, format string, args ...any) {
	p.notes = append(p.notes, client.Note{Warning: warning, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// decide says what to do. jobs are those that the CronJob controls; gone are
// active ones, by uid, that do not exist.
func decide(c *batchv1.CronJob, jobs []*job, gone map[string]bool, now time.Time) plan {
	p := plan{status: *client.Clone(&c.Status)}
	p.forget = append(tooMany(jobs, batchv1.JobComplete, c.Spec.SuccessfulJobsHistoryLimit), tooMany(jobs, batchv1.JobFailed, c.Spec.FailedJobsHistoryLimit)...)
	for _, j := range jobs {
		p.observe(j)
	}
	for _, r := range slices.Clone(p.status.Active) {
		if gone[r.UID] {
			p.note(false, "MissingJob", "Active job went missing: %v", r.Name)
			p.inactive(r.UID)
		}
	}
	if c.DeletionTimestamp != nil {
		return p
	}
	zone, err := location(c)
	if err != nil {
		p.note(true, "UnknownTimeZone", "invalid timeZone: %q: %s", *c.Spec.TimeZone, err)
		return p
	}
	if c.Spec.Suspend != nil && *c.Spec.Suspend {
		return p
	}
	if strings.Contains(c.Spec.Schedule, "TZ") {
		p.note(true, "UnsupportedSchedule", "CRON_TZ or TZ used in schedule %q is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", c.Spec.Schedule)
	}
	s, err := schedule(c)
	if err != nil {
		p.note(true, "UnparseableSchedule", "unparseable schedule: %q : %s", c.Spec.Schedule, err)
		return p
	}
	m, err := due(c, s, now, true)
	if err != nil {
		p.note(true, "InvalidSchedule", "invalid schedule: %s : %s", c.Spec.Schedule, err)
		return p
	}
	p.run(c, s, m, zone, now)
	return p
}

// observe keeps the list of active Jobs, and when the last succeeded.
func (p *plan) observe(j *job) {
	active := slices.ContainsFunc(p.status.Active, func(r corev1.ObjectReference) bool { return r.UID == j.UID })
	end := j.end()
	if end == "" {
		if !active {
			p.note(true, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
		}
		return
	}
	if active {
		p.inactive(j.UID)
		if !slices.Contains(p.forget, j) {
			p.note(false, "SawCompletedJob", "Saw completed job: %s, condition: %v", j.Name, end)
		}
	}
	last, at := p.status.LastSuccessfulTime, j.Status.CompletionTime
	if end == batchv1.JobComplete && at != nil && (last == nil || last.Before(*at)) {
		p.status.LastSuccessfulTime = at
	}
}

func (p *plan) inactive(uid string) {
	p.status.Active = slices.DeleteFunc(p.status.Active, func(r corev1.ObjectReference) bool { return r.UID == uid })
}

// run starts the Job that is due, unless it is too late or another one is in
// its way.
func (p *plan) run(c *batchv1.CronJob, s cron.Schedule, m moment, zone *time.Location, now time.Time) {
	p.wait = untilNext(c, s, now)
	if m.at.IsZero() {
		return
	}
	if m.missed > 100 {
		p.note(true, "TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if d := c.Spec.StartingDeadlineSeconds; d != nil && m.at.Add(time.Duration(*d)*time.Second).Before(now) {
		p.note(true, "MissSchedule", "Missed scheduled time to start a job: %s", m.at.UTC().Format(time.RFC1123Z))
		return
	}
	name := jobName(c, m.at)
	if last := p.status.LastScheduleTime; last != nil && last.Time().Equal(m.at) ||
		slices.ContainsFunc(p.status.Active, func(r corev1.ObjectReference) bool { return r.Name == name }) {
		return // it was started
	}
	switch {
	case len(p.status.Active) == 0:
	case c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent:
		p.note(false, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
		return
	case c.Spec.ConcurrencyPolicy == batchv1.ReplaceConcurrent:
		p.replace = slices.Clone(p.status.Active)
	}
	p.start, p.at = newJob(c, name, m.at.In(zone)), m.at
}

// jobName is one for each time, so that none is started twice. The finest
// schedule is by minutes.
func jobName(c *batchv1.CronJob, at time.Time) string {
	return fmt.Sprintf("%s-%d", c.Name, at.Unix()/60)
}

func newJob(c *batchv1.CronJob, name string, at time.Time) *batchv1.Job {
	t := &c.Spec.JobTemplate
	j := &batchv1.Job{Spec: t.Spec}
	j.Name, j.Namespace, j.Labels, j.Annotations = name, c.Namespace, t.Labels, maps.Clone(t.Annotations)
	if j.Annotations == nil {
		j.Annotations = map[string]string{}
	}
	j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] = at.Format(time.RFC3339)
	j.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(c, "batch/v1", kind)}
	return j
}

// started notes a Job that runs now.
func (p *plan) started(m *metav1.ObjectMeta) {
	at := metav1.NewTime(p.at)
	p.status.LastScheduleTime = &at
	p.status.Active = append(p.status.Active, corev1.ObjectReference{Kind: "Job", APIVersion: "batch/v1", Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion})
}

// tooMany are the Jobs of one end beyond a limit, the oldest.
func tooMany(jobs []*job, end batchv1.JobConditionType, limit *int32) []*job {
	if limit == nil {
		return nil
	}
	ended := slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.end() != end })
	slices.SortFunc(ended, func(a, b *job) int {
		return cmp.Or(earlier(a.Status.StartTime, b.Status.StartTime), cmp.Compare(a.Name, b.Name))
	})
	return ended[:max(len(ended)-int(*limit), 0)]
}

// earlier puts the earlier of two times first, and none last.
func earlier(a, b *metav1.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return a.Time().Compare(b.Time())
}
