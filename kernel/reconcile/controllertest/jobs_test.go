package controllertest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// jobState is a Job's status in short, and how many pods have a finalizer.
func jobState(t testing.TB, c *cluster, name string) string {
	t.Helper()
	j := get[batchv1.Job](t, c, name)
	if j == nil {
		return "gone"
	}
	s := j.Status
	out := fmt.Sprintf("%d active, %d+%d", s.Active, s.Succeeded, s.Failed)
	if s.CompletedIndexes != "" {
		out += " of " + s.CompletedIndexes
	}
	for _, x := range s.Conditions {
		out += fmt.Sprintf(", %s=%s", x.Type, x.Status)
	}
	held := 0
	for _, p := range jobPods(t, c, name) {
		if slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) {
			held++
		}
	}
	return out + fmt.Sprintf(", %d held", held)
}

func jobPods(t testing.TB, c *cluster, name string) (out []*corev1.Pod) {
	t.Helper()
	for _, p := range list[corev1.Pod](t, c, namespace) {
		if p.Labels[batchv1.JobNameLabel] == name {
			out = append(out, p)
		}
	}
	return out
}

// endPods ends a Job's running pods that pick names, long enough ago for the
// next to be made at once.
func endPods(t testing.TB, c *cluster, job string, phase corev1.PodPhase, pick func(*corev1.Pod) bool) {
	t.Helper()
	for _, p := range jobPods(t, c, job) {
		if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil || !pick(p) {
			continue
		}
		update(t, c, p.Name, "status", func(p *corev1.Pod) {
			code := int32(0)
			if phase == corev1.PodFailed {
				code = 3
			}
			p.Status.Phase = phase
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: code, FinishedAt: metav1.NewTime(time.Now().Add(-time.Hour))}}}}
		})
	}
}

// batchLife is the life of a Job with indexes, of a CronJob's Job, and of one
// that is to go when it is finished; what is there at their milestones comes back
// as lines.
func batchLife(t *testing.T, h host) []string {
	c := newCluster(t, h, "job", "cronjob", "ttl-after-finished", "garbage-collector")
	startNodes(t, c, "a")
	var seen []string
	wait := func(name, want string) {
		t.Helper()
		eventually(t, want, func() string { return equal(name, jobState(t, c, name), want) })
		seen = append(seen, name+": "+want)
	}
	any := func(*corev1.Pod) bool { return true }
	running := func(name string, n int) {
		t.Helper()
		eventually(t, "running", func() string {
			got := 0
			for _, p := range jobPods(t, c, name) {
				if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
					got++
				}
			}
			return equal("running pods of "+name, got, n)
		})
	}
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	two, three, none := int32(2), int32(3), int32(0)
	mode := batchv1.IndexedCompletion

	c.mustCreate(t, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "work"}, Spec: batchv1.JobSpec{Completions: &three, Parallelism: &two, CompletionMode: &mode, Template: template}})
	wait("work", "2 active, 0+0, 2 held")
	running("work", 2)
	endPods(t, c, "work", corev1.PodFailed, func(p *corev1.Pod) bool { return p.Labels[batchv1.JobCompletionIndexAnnotation] == "0" })
	wait("work", "2 active, 0+1, 2 held")
	running("work", 2)
	on := true
	update(t, c, "work", "", func(j *batchv1.Job) { j.Spec.Suspend = &on })
	wait("work", "0 active, 0+1, Suspended=True, 0 held")
	on = false
	update(t, c, "work", "", func(j *batchv1.Job) { j.Spec.Suspend = &on })
	wait("work", "2 active, 0+1, Suspended=False, 2 held")
	running("work", 2)
	endPods(t, c, "work", corev1.PodSucceeded, any)
	wait("work", "1 active, 2+1 of 0,1, Suspended=False, 1 held")
	running("work", 1)
	endPods(t, c, "work", corev1.PodSucceeded, any)
	wait("work", "0 active, 3+1 of 0-2, Suspended=False, SuccessCriteriaMet=True, Complete=True, 0 held")

	c.mustCreate(t, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "brief"}, Spec: batchv1.JobSpec{TTLSecondsAfterFinished: &none, BackoffLimit: &none, Template: template}})
	running("brief", 1)
	endPods(t, c, "brief", corev1.PodFailed, any)
	wait("brief", "gone")
	eventually(t, "its pods go with it", func() string { return equal("pods", len(jobPods(t, c, "brief")), 0) })

	c.mustCreate(t, &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "often"}, Spec: batchv1.CronJobSpec{Schedule: "@every 1s", ConcurrencyPolicy: batchv1.ForbidConcurrent,
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}})
	eventually(t, "a Job of the CronJob runs", func() string {
		cj := get[batchv1.CronJob](t, c, "often")
		return all(equal("active", len(cj.Status.Active), 1), equal("scheduled", cj.Status.LastScheduleTime != nil, true))
	})
	ref := get[batchv1.CronJob](t, c, "often").Status.Active[0]
	if !strings.HasPrefix(ref.Name, "often-") || get[batchv1.Job](t, c, ref.Name).Annotations[batchv1.CronJobScheduledTimestampAnnotation] == "" {
		t.Errorf("the Job of a CronJob is %+v", ref)
	}
	update(t, c, "often", "", func(cj *batchv1.CronJob) { yes := true; cj.Spec.Suspend = &yes })
	running(ref.Name, 1)
	endPods(t, c, ref.Name, corev1.PodSucceeded, any)
	eventually(t, "the CronJob saw it succeed", func() string {
		cj := get[batchv1.CronJob](t, c, "often")
		return all(equal("active", len(cj.Status.Active), 0), equal("succeeded", cj.Status.LastSuccessfulTime != nil, true))
	})
	return append(seen, "often: done")
}

// TestJobsInAllHosts holds the controllers of batch to one behaviour, however
// they are hosted.
func TestJobsInAllHosts(t *testing.T) {
	want := []string{
		"work: 2 active, 0+0, 2 held",
		"work: 2 active, 0+1, 2 held",
		"work: 0 active, 0+1, Suspended=True, 0 held",
		"work: 2 active, 0+1, Suspended=False, 2 held",
		"work: 1 active, 2+1 of 0,1, Suspended=False, 1 held",
		"work: 0 active, 3+1 of 0-2, Suspended=False, SuccessCriteriaMet=True, Complete=True, 0 held",
		"brief: gone",
		"often: done",
	}
	for name, open := range map[string]func(testing.TB) host{"native": nativeHost, "wasm": wasmHost, "process": processHost} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, batchLife(t, open(t))); diff != "" {
				t.Errorf("life (-want +got):\n%s", diff)
			}
		})
	}
}
