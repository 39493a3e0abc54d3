package batch

import (
	"context"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	jobutil "k8s.io/kubernetes/pkg/api/job"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
	"github.com/pintle-io/pintle/plugins/kinds/podtemplate"
)

// podsStay is upstream's warning of a default that other kinds do not have.
const podsStay = "child pods are preserved by default when jobs are deleted; " +
	"set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"

func jobs() kind.Rule[batchv1.Job, batch.Job] {
	return kind.Rule[batchv1.Job, batch.Job]{
		Status:     kind.HasStatus,
		Generation: kind.BySpec,
		Orphans:    true,
		Finish:     func(s *resource.Strategy) { s.DeletionWarning = podsStay },
		Create:     func(_ context.Context, j *batchv1.Job) { selectOwnPods(j) },
		Internal: func(_ context.Context, j, old *batch.Job) {
			var oldSpec *batch.JobSpec
			if old != nil {
				oldSpec = &old.Spec
			}
			dropJob(&j.Spec, oldSpec)
		},
		Validate: func(j *batch.Job) field.ErrorList {
			return batchvalidation.ValidateJobCreate(j, batchvalidation.JobValidationOptions{
				PodValidationOptions:  podutil.GetValidationOptionsFromPodTemplate(&j.Spec.Template, nil),
				RequirePrefixedLabels: true,
			})
		},
		ValidateUpdate: func(j, old *batch.Job) field.ErrorList {
			return batchvalidation.ValidateJobUpdate(j, old, jobUpdateOptions(j, old))
		},
		ValidateStatus: func(j, old *batch.Job) field.ErrorList {
			return batchvalidation.ValidateJobUpdateStatus(j, old, jobStatusOptions(j, old))
		},
		Declare: func(_, _ *batch.Job) kind.Declaration {
			return kind.Declaration{Options: kind.Gates(features.WorkloadWithJob)}
		},
		Warn: func(ctx context.Context, j, old *batch.Job) []string {
			if old == nil {
				return append(podtemplate.NameWarning(j.Name, "this is used in Pod names and hostnames"), jobutil.WarningsForJobSpec(ctx, field.NewPath("spec"), &j.Spec, nil)...)
			}
			if j.Generation == old.Generation {
				return nil
			}
			return jobutil.WarningsForJobSpec(ctx, field.NewPath("spec"), &j.Spec, &old.Spec)
		},
		Fields: []kind.Selectable[batchv1.Job]{
			{Label: "status.successful", Value: func(j *batchv1.Job) string { return strconv.Itoa(int(j.Status.Succeeded)) }},
		},
	}
}

func dropJob(spec, old *batch.JobSpec) {
	jobutil.DropDisabledFields(spec, old)
	if old == nil {
		podutil.DropDisabledTemplateFields(&spec.Template, nil)
		return
	}
	podutil.DropDisabledTemplateFields(&spec.Template, &old.Template)
}

// selectOwnPods makes the selector and the template's labels of a job that
// leaves them to the server: by the job's UID, which no other job shares.
func selectOwnPods(j *batchv1.Job) {
	if ptr.Deref(j.Spec.ManualSelector, false) {
		return
	}
	own := map[string]string{
		"job-name": j.Name, batchv1.JobNameLabel: j.Name,
		"controller-uid": string(j.UID), batchv1.ControllerUidLabel: string(j.UID),
	}
	for k, v := range j.Spec.Template.Labels {
		own[k] = v
	}
	j.Spec.Template.Labels = own
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	if _, ok := j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !ok {
		j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = string(j.UID)
	}
}

func jobUpdateOptions(j, old *batch.Job) batchvalidation.JobValidationOptions {
	suspended := ptr.Deref(old.Spec.Suspend, false)
	started := old.Status.StartTime != nil
	// A suspended job without running pods may get another template.
	idle := suspended && old.Status.Active == 0 &&
		(!started || batchvalidation.IsConditionTrue(old.Status.Conditions, batch.JobSuspended))
	_, hadName := old.Spec.Template.Labels[batch.JobNameLabel]
	_, hadUID := old.Spec.Template.Labels[batch.ControllerUidLabel]
	o := batchvalidation.JobValidationOptions{
		PodValidationOptions:             podutil.GetValidationOptionsFromPodTemplate(&j.Spec.Template, &old.Spec.Template),
		RequirePrefixedLabels:            hadName && hadUID,
		AllowMutableSchedulingDirectives: suspended && !started,
	}
	o.AllowInvalidLabelValueInSelector = o.AllowInvalidLabelValueInSelector || metav1validation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector)
	if kind.Enabled(features.MutablePodResourcesForSuspendedJobs) {
		o.AllowMutablePodResources = idle
	}
	if kind.Enabled(features.MutableSchedulingDirectivesForSuspendedJobs) {
		o.AllowMutableSchedulingDirectives = idle
	}
	return o
}

// jobStatusOptions checks only what a status update changes: a status that was
// accepted once stays acceptable.
func jobStatusOptions(j, old *batch.Job) batchvalidation.JobStatusValidationOptions {
	if !kind.Enabled(features.JobManagedBy) {
		return batchvalidation.JobStatusValidationOptions{}
	}
	n, o := &j.Status, &old.Status
	turned := func(t batch.JobConditionType) bool {
		return batchvalidation.IsConditionTrue(o.Conditions, t) != batchvalidation.IsConditionTrue(n.Conditions, t)
	}
	var (
		finished   = batchvalidation.IsJobFinished(old) != batchvalidation.IsJobFinished(j)
		complete   = batchvalidation.IsJobComplete(old) != batchvalidation.IsJobComplete(j)
		failed     = batchvalidation.IsJobFailed(old) != batchvalidation.IsJobFailed(j)
		completed  = o.CompletedIndexes != n.CompletedIndexes
		failedIdx  = !ptr.Equal(o.FailedIndexes, n.FailedIndexes)
		active     = o.Active != n.Active
		start      = !ptr.Equal(o.StartTime, n.StartTime)
		completion = !ptr.Equal(o.CompletionTime, n.CompletionTime)
		indexed    = ptr.Deref(j.Spec.CompletionMode, batch.NonIndexedCompletion) == batch.IndexedCompletion
		nothingDue = ptr.Deref(j.Spec.Suspend, false) && ptr.Equal(j.Spec.Completions, ptr.To[int32](0))
		resuming   = batchvalidation.IsConditionTrue(o.Conditions, batch.JobSuspended) && batchvalidation.IsConditionFalse(n.Conditions, batch.JobSuspended)
	)
	return batchvalidation.JobStatusValidationOptions{
		RejectDecreasingSucceededCounter:             !indexed || !ptr.Equal(j.Spec.Completions, j.Spec.Parallelism),
		RejectDecreasingFailedCounter:                true,
		RejectDisablingTerminalCondition:             true,
		RejectInvalidCompletedIndexes:                completed,
		RejectInvalidFailedIndexes:                   failedIdx,
		RejectCompletedIndexesForNonIndexedJob:       completed,
		RejectFailedIndexesForNoBackoffLimitPerIndex: failedIdx,
		RejectFailedIndexesOverlappingCompleted:      failedIdx || completed,
		RejectFailedJobWithoutFailureTarget:          failed || failedIdx,
		RejectCompleteJobWithoutSuccessCriteriaMet:   complete || turned(batch.JobSuccessCriteriaMet),
		RejectFinishedJobWithActivePods:              finished || active,
		RejectFinishedJobWithoutStartTime:            (finished || start) && !nothingDue,
		RejectFinishedJobWithUncountedTerminatedPods: finished || !equality.Semantic.DeepEqual(o.UncountedTerminatedPods, n.UncountedTerminatedPods),
		RejectStartTimeUpdateForUnsuspendedJob:       start && !resuming,
		RejectCompletionTimeBeforeStartTime:          start || completion,
		RejectMutatingCompletionTime:                 true,
		RejectNotCompleteJobWithCompletionTime:       complete || completion,
		RejectCompleteJobWithoutCompletionTime:       complete || completion,
		RejectCompleteJobWithFailedCondition:         complete || failed,
		RejectCompleteJobWithFailureTargetCondition:  complete || turned(batch.JobFailureTarget),
		RejectMoreReadyThanActivePods:                active || !ptr.Equal(o.Ready, n.Ready),
		RejectFinishedJobWithTerminatingPods:         finished || !ptr.Equal(o.Terminating, n.Terminating),
	}
}
