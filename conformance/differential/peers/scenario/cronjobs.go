package scenario

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/conformance/differential/peers/nodes"
)

var cronJobs = Scenario{
	Name: "cronjobs", What: "%d CronJobs due in the same minute, from its first second until all their Jobs are complete and none is active",
	Size: 2000, Unit: "Jobs", Nodes: fewNodes,
	Kind: func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.BatchV1().CronJobs(Namespace).Create(ctx, newCronJob(0, time.Now()), dryRun)
		return err
	},
	Arm: armCronJobs,
}

// due is the minute in which CronJobs of this size are due: late enough for
// them to be created and for the server to come to rest.
func due(now time.Time, size int) time.Time {
	earliest := now.Add(75*time.Second + time.Duration(size)*15*time.Millisecond)
	return earliest.Truncate(time.Minute).Add(time.Minute)
}

func armCronJobs(ctx context.Context, c kubernetes.Interface, size int) (*Armed, error) {
	crons, err := track(ctx, c.BatchV1().RESTClient(), "cronjobs", Namespace, &batchv1.CronJob{}, func(o any) bool {
		s := o.(*batchv1.CronJob).Status
		return s.LastScheduleTime != nil && len(s.Active) == 0
	})
	if err != nil {
		return nil, err
	}
	jobs, err := track(ctx, c.BatchV1().RESTClient(), "jobs", Namespace, &batchv1.Job{}, complete)
	if err != nil {
		return nil, err
	}
	at := due(time.Now(), size)
	if err := nodes.Each(ctx, size, func(ctx context.Context, i int) error {
		_, err := c.BatchV1().CronJobs(Namespace).Create(ctx, newCronJob(i, at), metav1.CreateOptions{})
		return err
	}); err != nil {
		return nil, err
	}
	return &Armed{
		Wait: func(ctx context.Context) error {
			left := time.Until(at)
			if left < 0 {
				return fmt.Errorf("the minute %s came before all CronJobs were created and the server was at rest: try a smaller -scale", at.Format("15:04"))
			}
			select {
			case <-time.After(left):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		},
		Do: func(ctx context.Context) error {
			all := func(_, wished int) bool { return wished == size }
			if err := jobs.until(ctx, all); err != nil {
				return err
			}
			return crons.until(ctx, all)
		},
		Progress: func() string {
			all, complete := jobs.Counts()
			return fmt.Sprintf("%d Jobs, %d of them complete", all, complete)
		},
	}, nil
}

func newCronJob(i int, at time.Time) *batchv1.CronJob {
	at = at.UTC()
	zone := "Etc/UTC"
	return &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cron-%05d", i)}, Spec: batchv1.CronJobSpec{
		Schedule: fmt.Sprintf("%d %d %d %d *", at.Minute(), at.Hour(), at.Day(), at.Month()), TimeZone: &zone,
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template("cron", corev1.RestartPolicyNever)}},
	}}
}
