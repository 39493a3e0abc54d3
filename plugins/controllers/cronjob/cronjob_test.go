package cronjob

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// now is a Thursday, one second past ten.
var now = time.Date(2026, 1, 1, 10, 0, 1, 0, time.UTC)

type change func(*batchv1.CronJob)

// hourly runs at every full hour, and did at nine.
func hourly(changes ...change) *batchv1.CronJob {
	c := &batchv1.CronJob{Spec: batchv1.CronJobSpec{Schedule: "0 * * * *", ConcurrencyPolicy: batchv1.AllowConcurrent}}
	c.Name, c.Namespace, c.UID = "c", "default", "cron"
	c.CreationTimestamp = metav1.NewTime(now.Add(-24 * time.Hour))
	ran(time.Hour + time.Second)(c)
	for _, f := range changes {
		f(c)
	}
	return c
}

func ran(ago time.Duration) change {
	return func(c *batchv1.CronJob) { at := metav1.NewTime(now.Add(-ago)); c.Status.LastScheduleTime = &at }
}

func never(c *batchv1.CronJob) { c.Status.LastScheduleTime = nil }

func made(ago time.Duration) change {
	return func(c *batchv1.CronJob) { c.CreationTimestamp = metav1.NewTime(now.Add(-ago)) }
}

func at(schedule string) change { return func(c *batchv1.CronJob) { c.Spec.Schedule = schedule } }

func in(zone string) change { return func(c *batchv1.CronJob) { c.Spec.TimeZone = &zone } }

func within(s int64) change { return func(c *batchv1.CronJob) { c.Spec.StartingDeadlineSeconds = &s } }

func policy(p batchv1.ConcurrencyPolicy) change {
	return func(c *batchv1.CronJob) { c.Spec.ConcurrencyPolicy = p }
}

func pause(c *batchv1.CronJob) { yes := true; c.Spec.Suspend = &yes }

func deleting(c *batchv1.CronJob) { at := metav1.NewTime(now); c.DeletionTimestamp = &at }

func runs(names ...string) change {
	return func(c *batchv1.CronJob) {
		for _, n := range names {
			c.Status.Active = append(c.Status.Active, corev1.ObjectReference{Namespace: "default", Name: n, UID: n})
		}
	}
}

func history(succeeded, failed int32) change {
	return func(c *batchv1.CronJob) {
		c.Spec.SuccessfulJobsHistoryLimit, c.Spec.FailedJobsHistoryLimit = &succeeded, &failed
	}
}

// jobOf is a Job of the CronJob that started, and perhaps ended.
func jobOf(name string, end batchv1.JobConditionType, startedAgo time.Duration) *job {
	j := &job{}
	j.Name, j.Namespace, j.UID = name, "default", name
	j.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(hourly(), "batch/v1", kind)}
	if startedAgo > 0 {
		at := metav1.NewTime(now.Add(-startedAgo))
		j.Status.StartTime = &at
	}
	if end != "" {
		j.Status.Conditions = []condition{{batchv1.JobSuspended, corev1.ConditionFalse}, {end, corev1.ConditionTrue}}
	}
	if end == batchv1.JobComplete {
		at := metav1.NewTime(now.Add(-startedAgo / 2))
		j.Status.CompletionTime = &at
	}
	return j
}

// told is a plan as a line.
func told(p plan) string {
	var out []string
	for _, j := range p.forget {
		out = append(out, "forget "+j.Name)
	}
	for _, r := range p.replace {
		out = append(out, "replace "+r.Name)
	}
	if p.start != nil {
		out = append(out, "start "+p.start.Name+" "+p.start.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
	}
	if p.wait > 0 {
		out = append(out, "wait "+p.wait.String())
	}
	var active []string
	for _, r := range p.status.Active {
		active = append(active, r.Name)
	}
	if len(active) > 0 {
		out = append(out, "active "+strings.Join(active, ","))
	}
	if t := p.status.LastSuccessfulTime; t != nil {
		out = append(out, "succeeded "+now.Sub(t.Time()).String()+" ago")
	}
	for _, n := range p.notes {
		out = append(out, n.Reason)
	}
	return strings.Join(out, "; ")
}

// minutes are those of ten o'clock since 1970, by which its Job is named.
var minutes = fmt.Sprint("c-", time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC).Unix()/60)

// Each case is a state and what is done about it.
func TestDecide(t *testing.T) {
	const next, z = "wait 59m59.1s", " 2026-01-01T10:00:00Z"
	const complete, failed = batchv1.JobComplete, batchv1.JobFailed
	for name, c := range map[string]struct {
		cron *batchv1.CronJob
		jobs []*job
		gone string
		want string
	}{
		"it is time":            {hourly(), nil, "", "start " + minutes + z + "; " + next},
		"it was started":        {hourly(ran(time.Second)), nil, "", next},
		"it is not yet time":    {hourly(at("30 * * * *"), ran(30*time.Minute+time.Second)), nil, "", "wait 29m59.1s"},
		"new, and not yet time": {hourly(never, made(10*time.Minute), at("30 * * * *")), nil, "", "wait 29m59.1s"},
		"the first time":        {hourly(never, made(time.Minute)), nil, "", "start " + minutes + z + "; " + next},
		"only the last that was missed": {hourly(ran(5*time.Hour + time.Second)), nil, "",
			"start " + minutes + z + "; " + next},
		"very many were missed":    {hourly(ran(101*time.Hour + time.Second)), nil, "", "start " + minutes + z + "; " + next + "; TooManyMissedTimes"},
		"but a deadline counts":    {hourly(ran(1000*time.Hour+time.Second), within(7200)), nil, "", "start " + minutes + z + "; " + next},
		"not regular":              {hourly(at("0 8,9 * * 1-5"), ran(25*time.Hour+time.Second)), nil, "", "start " + strings.Replace(minutes, fmt.Sprint(now.Unix()/60), fmt.Sprint(now.Unix()/60-60), 1) + " 2026-01-01T09:00:00Z; wait 21h59m59.1s"},
		"too late":                 {hourly(at("0 9 * * *"), ran(25*time.Hour+time.Second), within(60)), nil, "", "wait 22h59m59.1s"},
		"every so often":           {hourly(at("@every 90m"), ran(90*time.Minute)), nil, "", "start " + minutes + " 2026-01-01T10:00:01Z; wait 1h30m0.1s"},
		"suspended":                {hourly(pause), nil, "", ""},
		"being deleted":            {hourly(deleting), []*job{jobOf("a", complete, 10*time.Second)}, "", "succeeded 5s ago"},
		"a zone":                   {hourly(at("0 19 * * *"), in("Asia/Tokyo"), ran(24*time.Hour+time.Second)), nil, "", "start " + minutes + " 2026-01-01T19:00:00+09:00; wait 23h59m59.1s"},
		"a zone that there is not": {hourly(in("Middle/Earth")), nil, "", "UnknownTimeZone"},
		"a zone in the schedule":   {hourly(at("TZ=Asia/Tokyo 0 19 * * *"), ran(24*time.Hour+time.Second)), nil, "", "start " + minutes + z + "; wait 23h59m59.1s; UnsupportedSchedule"},
		"a zone that panics":       {hourly(at("TZ=0")), nil, "", "UnsupportedSchedule; UnparseableSchedule"},
		"no schedule":              {hourly(at("now and then")), nil, "", "UnparseableSchedule"},
		"a day that never comes":   {hourly(at("0 0 31 2 *")), nil, "", "InvalidSchedule"},

		"others run, and may":      {hourly(runs("a")), []*job{jobOf("a", "", time.Hour)}, "", "start " + minutes + z + "; " + next + "; active a"},
		"others run: forbidden":    {hourly(runs("a"), policy(batchv1.ForbidConcurrent)), []*job{jobOf("a", "", time.Hour)}, "", next + "; active a; JobAlreadyActive"},
		"others ran: not so":       {hourly(runs("a"), policy(batchv1.ForbidConcurrent)), []*job{jobOf("a", failed, time.Hour)}, "", "start " + minutes + z + "; " + next + "; SawCompletedJob"},
		"others run: replaced":     {hourly(runs("a"), policy(batchv1.ReplaceConcurrent)), []*job{jobOf("a", "", time.Hour)}, "", "replace a; start " + minutes + z + "; " + next + "; active a"},
		"by the name it runs":      {hourly(runs(minutes)), []*job{jobOf(minutes, "", time.Second)}, "", next + "; active " + minutes},
		"one went missing":         {hourly(ran(time.Second), runs("a", "b")), nil, "a", next + "; active b; MissingJob"},
		"one that is not known":    {hourly(ran(time.Second)), []*job{jobOf("a", "", time.Hour)}, "", next + "; UnexpectedJob"},
		"the last success":         {hourly(ran(time.Second), runs("a")), []*job{jobOf("a", complete, 10*time.Second), jobOf("b", complete, 20*time.Second)}, "", next + "; succeeded 5s ago; SawCompletedJob"},
		"history":                  {hourly(ran(time.Second), history(1, 0)), []*job{jobOf("a", complete, 10*time.Second), jobOf("b", complete, 20*time.Second), jobOf("c", failed, time.Hour), jobOf("d", "", time.Hour)}, "", "forget b; forget c; " + next + "; succeeded 5s ago; UnexpectedJob"},
		"history: names decide":    {hourly(ran(time.Second), history(1, 9)), []*job{jobOf("b", complete, 10*time.Second), jobOf("a", complete, 10*time.Second), jobOf("z", failed, 0)}, "", "forget a; " + next + "; succeeded 5s ago"},
		"history: never begun":     {hourly(ran(time.Second), history(9, 1)), []*job{jobOf("a", failed, 0), jobOf("b", failed, time.Hour)}, "", "forget b; " + next},
		"history: forgotten quiet": {hourly(ran(time.Second), history(0, 0), runs("a")), []*job{jobOf("a", failed, time.Hour)}, "", "forget a; " + next},
	} {
		t.Run(name, func(t *testing.T) {
			if got := told(decide(c.cron, c.jobs, map[string]bool{c.gone: true}, now)); got != c.want {
				t.Errorf("got:  %s\nwant: %s", got, c.want)
			}
		})
	}
}

func TestNewJob(t *testing.T) {
	c := hourly()
	c.Spec.JobTemplate.Labels = map[string]string{"a": "b"}
	c.Spec.JobTemplate.Annotations = map[string]string{"c": "d"}
	three := int32(3)
	c.Spec.JobTemplate.Spec.Completions = &three
	j := newJob(c, "name", now)
	if j.Namespace != "default" || j.Labels["a"] != "b" || j.Annotations["c"] != "d" || *j.Spec.Completions != 3 || !metav1.IsControlledBy(j, c) {
		t.Errorf("job %+v", j)
	}
	if len(c.Spec.JobTemplate.Annotations) != 1 {
		t.Error("the template was changed")
	}
}

// crashing is a client whose status is never written.
type crashing struct{ client.Client }

var errCrash = errors.New("killed")

func (crashing) UpdateStatus(client.Object) error { return errCrash }

// A Job is made once for a time, though the controller is killed before it can
// write that down.
func TestStartsOnce(t *testing.T) {
	s, err := sdktest.NewStore(hourly())
	if err != nil {
		t.Fatal(err)
	}
	q := controller.Request{Namespace: "default", Name: "c"}
	if _, err := reconcile(crashing{s.Client()}, q, now); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := reconcile(s.Client(), q, now); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"batch/v1/cronjobs/default/c", "batch/v1/jobs/default/" + minutes}
	if diff := cmp.Diff(want, s.Keys()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	c := &batchv1.CronJob{}
	if err := s.Client().Get(c, "default", "c"); err != nil {
		t.Fatal(err)
	}
	if len(c.Status.Active) != 1 || c.Status.Active[0].Name != minutes || c.Status.Active[0].UID == "" || !c.Status.LastScheduleTime.Time().Equal(now.Truncate(time.Minute)) {
		t.Errorf("status %+v", c.Status)
	}
	notes := []string{"c SuccessfulCreate: Created job " + minutes, "c UnexpectedJob: Saw a job that the controller did not create or forgot: " + minutes}
	if diff := cmp.Diff(notes, s.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A Job of that name that is somebody else's is left alone, and not counted.
func TestNameIsTaken(t *testing.T) {
	other := &batchv1.Job{}
	other.Namespace, other.Name = "default", minutes
	s, err := sdktest.NewStore(hourly(), other)
	if err != nil {
		t.Fatal(err)
	}
	res, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "c"}, now)
	if err != nil || res.RequeueAfter == 0 {
		t.Errorf("%+v, %v", res, err)
	}
	c := &batchv1.CronJob{}
	if err := s.Client().Get(c, "default", "c"); err != nil || len(c.Status.Active) > 0 {
		t.Errorf("status %+v, %v", c.Status, err)
	}
}

func TestReplaceAndHistory(t *testing.T) {
	old := jobOf("old", "", time.Hour)
	done := jobOf("done", batchv1.JobFailed, time.Hour)
	s, err := sdktest.NewStore(hourly(policy(batchv1.ReplaceConcurrent), runs("old", "away"), history(0, 0)), old, done)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "c"}, now); err != nil {
		t.Fatal(err)
	}
	want := []string{"batch/v1/cronjobs/default/c", "batch/v1/jobs/default/" + minutes}
	if diff := cmp.Diff(want, s.Keys()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	notes := []string{"c MissingJob: Active job went missing: away", "c SuccessfulDelete: Deleted job done", "c SuccessfulDelete: Deleted job old", "c SuccessfulCreate: Created job " + minutes}
	if !slices.Equal(s.Notes, notes) {
		t.Errorf("events %q", s.Notes)
	}
}
