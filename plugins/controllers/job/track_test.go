package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
)

// story is what is written when nothing is made or removed: the first status,
// the pods that lose their finalizer, the last status, events.
func story(j *batchv1.Job, pods []*pod, p plan) string {
	v := look(j, pods, spared(p), now)
	t := track(v, p)
	stripped := map[*pod]bool{}
	var names []string
	for _, x := range t.strip {
		stripped[x] = true
		names = append(names, x.Name)
	}
	var left []*pod
	for _, x := range pods {
		if !stripped[x] {
			left = append(left, x)
		}
	}
	s, notes := conclude(v, t, left)
	out := statusLine(t.status) + " | " + strings.Join(names, " ") + " | " + statusLine(s)
	for _, n := range append(t.notes, notes...) {
		out += " | " + n.Reason + ": " + n.Message
	}
	return out
}

// statusLine is a status in short: active/ready/terminating, succeeded+failed,
// what is uncounted, indexes, conditions.
func statusLine(s batchv1.JobStatus) string {
	out := fmt.Sprintf("%d/%d/%d %d+%d", s.Active, deref(s.Ready, -1), deref(s.Terminating, -1), s.Succeeded, s.Failed)
	if u := s.UncountedTerminatedPods; len(u.Succeeded)+len(u.Failed) > 0 {
		out += fmt.Sprintf(" %v%v", u.Succeeded, u.Failed)
	}
	if s.CompletedIndexes != "" {
		out += " done " + s.CompletedIndexes
	}
	if s.FailedIndexes != nil && *s.FailedIndexes != "" {
		out += " broken " + *s.FailedIndexes
	}
	for _, c := range s.Conditions {
		out += fmt.Sprintf(" %s=%s", c.Type, c.Status)
	}
	if s.CompletionTime != nil {
		out += " completed"
	}
	return out
}

func TestTrack(t *testing.T) {
	failing := newCondition(batchv1.JobFailureTarget, "BackoffLimitExceeded", "too often", now)
	enough := newCondition(batchv1.JobSuccessCriteriaMet, "SuccessPolicy", "enough", now)
	for name, c := range map[string]struct {
		job  *batchv1.Job
		pods []*pod
		plan plan
		want string
	}{
		"nothing ended": {newJob(3, 2), []*pod{podOf("a"), podOf("b", pending)}, plan{managed: true},
			"2/1/0 0+0 |  | 2/1/0 0+0"},
		"one of each": {newJob(5, 2), []*pod{podOf("a", exited(0, 0)), podOf("b", exited(1, 0)), podOf("c")}, plan{managed: true},
			"1/1/0 0+0 [a][b] | a b | 1/1/0 1+1"},
		"named already": {jobWith(newJob(5, 2), uncounted("b")), []*pod{podOf("b", exited(1, 0))}, plan{managed: true},
			"0/0/0 0+0 [][b] | b | 0/0/0 0+1"},
		"named, and let go of": {jobWith(newJob(5, 2), uncounted("b", "gone")), []*pod{podOf("b", exited(1, 0), let)}, plan{managed: true},
			"0/0/0 0+2 |  | 0/0/0 0+2"},
		"counted as failed, whatever it became": {jobWith(newJob(5, 2), uncounted("b")), []*pod{podOf("b", exited(0, 0))}, plan{managed: true},
			"0/0/0 0+0 [][b] | b | 0/0/0 0+1"},
		"the last of them": {jobWith(newJob(2, 2), counted(1, 3)), []*pod{podOf("a", exited(0, 0))}, plan{managed: true},
			"0/0/0 1+3 [a][] SuccessCriteriaMet=True | a | 0/0/0 2+3 SuccessCriteriaMet=True Complete=True completed | Completed: Job completed"},
		"more than were asked for": {jobWith(newJob(1, 1), counted(1, 0)), []*pod{podOf("a", exited(0, 0))}, plan{managed: true},
			"0/0/0 1+0 [a][] SuccessCriteriaMet=True | a | 0/0/0 2+0 SuccessCriteriaMet=True Complete=True completed | TooManySucceededPods: Too many succeeded pods running after completion count reached | Completed: Job completed"},
		"one still terminates": {newJob(1, 1), []*pod{podOf("a", exited(0, 0)), podOf("b", deleted, let)}, plan{managed: true},
			"0/0/1 0+0 [a][] SuccessCriteriaMet=True | a | 0/0/1 1+0 SuccessCriteriaMet=True"},
		"then it is gone": {jobWith(newJob(1, 1), counted(1, 0), said(batchv1.JobSuccessCriteriaMet, "CompletionsReached")), nil, plan{end: enough},
			"0/0/0 1+0 SuccessCriteriaMet=True |  | 0/0/0 1+0 SuccessCriteriaMet=True Complete=True completed | Completed: Job completed"},
		"it fails": {jobWith(newJob(3, 3), counted(1, 2)), []*pod{podOf("a", deleted), podOf("b", exited(1, 0))}, plan{end: failing},
			"0/0/1 1+2 [][a b] FailureTarget=True | a b | 0/0/1 1+4 FailureTarget=True"},
		"it has failed": {jobWith(newJob(3, 3), counted(1, 4), said(batchv1.JobFailureTarget, "BackoffLimitExceeded")), nil, plan{end: failing},
			"0/0/0 1+4 FailureTarget=True |  | 0/0/0 1+4 FailureTarget=True Failed=True | BackoffLimitExceeded: too often"},
		"one could not be deleted": {newJob(3, 3), []*pod{podOf("a")}, plan{end: failing},
			"1/1/0 0+0 |  | 1/1/0 0+0"},
		"what terminates patiently fails with the Job": {jobWith(newJob(3, 3), patient), []*pod{podOf("a", deleted)}, plan{end: failing},
			"0/0/1 0+0 [][a] FailureTarget=True | a | 0/0/1 0+1 FailureTarget=True"},
		"deleted because of success": {jobWith(newJob(3, 3), inIndexes), []*pod{podOf("a", at("1"), deleted), podOf("b", at("0"), exited(0, 0))}, plan{end: enough, remove: []*pod{podOf("a")}},
			"0/0/1 1+0 done 0 SuccessCriteriaMet=True | b a | 0/0/1 1+0 done 0 SuccessCriteriaMet=True"},

		"indexes": {jobWith(newJob(5, 3), inIndexes, completed("0"), counted(1, 0)), []*pod{podOf("c", at("3"), exited(0, 0)), podOf("b", at("1"), exited(0, 0)), podOf("a", at("2"))}, plan{managed: true},
			"1/1/0 3+0 done 0,1,3 | b c | 1/1/0 3+0 done 0,1,3"},
		"an index that was counted": {jobWith(newJob(5, 3), inIndexes, completed("0-1"), counted(2, 0)), []*pod{podOf("b", at("1"), exited(0, 0))}, plan{managed: true},
			"0/0/0 2+0 done 0,1 | b | 0/0/0 2+0 done 0,1"},
		"an index out of range": {jobWith(newJob(1, 3), inIndexes, completed("0,4"), counted(2, 0)), []*pod{podOf("b", at("1"), exited(1, 0))}, plan{},
			"0/0/0 1+0 done 0 SuccessCriteriaMet=True | b | 0/0/0 1+0 done 0 SuccessCriteriaMet=True Complete=True completed | Completed: Job completed"},
		"an index waits for its successor": {jobWith(newJob(2, 2), perIndex(3)), []*pod{podOf("a", at("0"), exited(1, 0)), podOf("b", at("1"))}, plan{managed: true},
			"1/1/0 0+0 |  | 1/1/0 0+0"},
		"which is there": {jobWith(newJob(2, 2), perIndex(3)), []*pod{podOf("a", at("0"), exited(1, 0)), podOf("b", at("0"))}, plan{managed: true},
			"1/1/0 0+0 [][a] | a | 1/1/0 0+1"},
		"an index failed for good": {jobWith(newJob(2, 2), perIndex(0)), []*pod{podOf("a", at("0"), exited(1, 0)), podOf("b", at("1"))}, plan{managed: true},
			"1/1/0 0+0 [][a] broken 0 | a | 1/1/0 0+1 broken 0"},
		"counted as failed, and its index is not done": {jobWith(newJob(2, 2), inIndexes, uncounted("a")), []*pod{podOf("a", at("0"), exited(0, 0)), podOf("b", at("1"))}, plan{managed: true},
			"1/1/0 0+0 [][a] | a | 1/1/0 0+1"},
		"failed for good, whatever it became": {jobWith(newJob(2, 2), perIndex(0), broken("0"), uncounted("a")), []*pod{podOf("a", at("0"), exited(0, 0)), podOf("b", at("1"))}, plan{managed: true},
			"1/1/0 0+0 [][a] broken 0 | a | 1/1/0 0+1 broken 0"},
		"failed for good, and another succeeds": {jobWith(newJob(4, 2), perIndex(0), broken("0-2"), counted(0, 3)), []*pod{podOf("a", at("1"), exited(0, 0)), podOf("b", at("3"))}, plan{managed: true},
			"1/1/0 1+3 done 1 broken 0,2 | a | 1/1/0 1+3 done 1 broken 0,2"},
		"ignored": {jobWith(newJob(2, 2), judgedBy(onExit("Ignore", 3))), []*pod{podOf("a", exited(3, 0))}, plan{managed: true},
			"0/0/0 0+0 | a | 0/0/0 0+0"},

		"suspended": {jobWith(newJob(1, 1), pause, startedFor(time.Hour)), []*pod{podOf("a", deleted, let)}, plan{managed: true},
			"0/0/1 0+0 Suspended=True |  | 0/0/1 0+0 Suspended=True | Suspended: Job suspended"},
		"suspended before": {jobWith(newJob(1, 1), pause, said(batchv1.JobSuspended, "JobSuspended")), nil, plan{managed: true},
			"0/0/0 0+0 Suspended=True |  | 0/0/0 0+0 Suspended=True"},
		"resumed": {jobWith(newJob(1, 1), said(batchv1.JobSuspended, "JobSuspended")), []*pod{podOf("a")}, plan{managed: true},
			"1/1/0 0+0 Suspended=False |  | 1/1/0 0+0 Suspended=False | Resumed: Job resumed"},
		"deleted: all are let go of": {jobWith(newJob(2, 2), deletedJob), []*pod{podOf("a"), podOf("b", exited(1, 0))}, plan{},
			"1/1/0 0+0 [][b] | a b | 1/1/0 0+1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := story(c.job, c.pods, c.plan); got != c.want {
				t.Errorf("got:  %s\nwant: %s", got, c.want)
			}
		})
	}
}

// The status names so many pods at most; the Job is not finished before the
// last of them is counted.
func TestManyAtOnce(t *testing.T) {
	j, pods := newJob(800, 800), many(800, exited(0, 0))
	v := look(j, pods, nil, now)
	got := track(v, decide(v, backoff{}))
	if n := len(got.status.UncountedTerminatedPods.Succeeded); n != maxBatch || len(got.strip) != maxBatch || !got.more {
		t.Errorf("%d named, %d to be let go of, more %v", n, len(got.strip), got.more)
	}
	if s, notes := conclude(v, got, pods[maxBatch:]); s.CompletionTime != nil || len(notes) > 0 || s.Succeeded != maxBatch {
		t.Errorf("finished too early: %s", statusLine(s))
	}
}

// The time of a deadline begins anew when a Job is resumed.
func TestStartTime(t *testing.T) {
	v := look(jobWith(newJob(1, 1), said(batchv1.JobSuspended, "JobSuspended"), startedFor(time.Hour)), nil, nil, now)
	if got := track(v, decide(v, backoff{})).status.StartTime; got == nil || !got.Time().Equal(now) {
		t.Errorf("resumed: started %v", got)
	}
	v = look(jobWith(newJob(1, 1), pause, startedFor(time.Hour)), nil, nil, now)
	if got := track(v, decide(v, backoff{})).status.StartTime; got != nil {
		t.Errorf("suspended: started %v", got)
	}
	v = look(newJob(1, 1), nil, nil, now)
	if got := track(v, decide(v, backoff{})).status.StartTime; got == nil || !got.Time().Equal(now) {
		t.Errorf("new: started %v", got)
	}
}
