// Package batch defines the kinds of the API group batch.
package batch

import (
	"context"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	jobutil "k8s.io/kubernetes/pkg/api/job"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/features"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
	"github.com/pintle-io/pintle/plugins/kinds/podtemplate"
)

func cronJobWarnings(ctx context.Context, c, old *batch.CronJob) []string {
	path := field.NewPath("spec", "jobTemplate", "spec")
	if old == nil {
		return append(podtemplate.NameWarning(c.Name, "this is used in Pod names and hostnames"), jobutil.WarningsForJobSpec(ctx, path, &c.Spec.JobTemplate.Spec, nil)...)
	}
	var out []string
	if c.Generation != old.Generation {
		out = jobutil.WarningsForJobSpec(ctx, path, &c.Spec.JobTemplate.Spec, &old.Spec.JobTemplate.Spec)
	}
	if strings.Contains(c.Spec.Schedule, "TZ") {
		out = append(out, fmt.Sprintf("cannot use TZ or CRON_TZ in %s, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", field.NewPath("spec", "spec", "schedule")))
	}
	return out
}

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: "batch", Kind: "CronJob", Resource: "cronjobs", NeedsImplementer: true, Short: []string{"cj"}, Categories: kind.All}, cronJobs()),
		kind.Define(kind.Names{Group: "batch", Kind: "Job", Resource: "jobs", NeedsImplementer: true, Categories: kind.All}, jobs()),
	}
}

func cronJobs() kind.Rule[batchv1.CronJob, batch.CronJob] {
	template := func(c *batch.CronJob) *core.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template }
	return kind.Rule[batchv1.CronJob, batch.CronJob]{
		Status:     kind.HasStatus,
		Generation: kind.BySpec,
		Internal: func(ctx context.Context, c, old *batch.CronJob) {
			var oldSpec *batch.JobSpec
			if old != nil {
				oldSpec = &old.Spec.JobTemplate.Spec
			}
			dropJob(&c.Spec.JobTemplate.Spec, oldSpec)
		},
		Validate:       podtemplate.Check(template, batchvalidation.ValidateCronJobCreate),
		ValidateUpdate: podtemplate.CheckUpdate(template, batchvalidation.ValidateCronJobUpdate),
		Declare: func(_, _ *batch.CronJob) kind.Declaration {
			return kind.Declaration{Options: kind.Gates(features.WorkloadWithJob)}
		},
		Warn: cronJobWarnings,
	}
}
