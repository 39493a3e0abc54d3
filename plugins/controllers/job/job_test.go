package job

import (
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// newJob is a Job that the API server has filled in.
func newJob(completions, parallelism int32) *batchv1.Job {
	labels := map[string]string{"job": "j"}
	limit := int32(6)
	j := &batchv1.Job{Spec: batchv1.JobSpec{Completions: &completions, Parallelism: &parallelism, BackoffLimit: &limit,
		Selector: &metav1.LabelSelector{MatchLabels: labels}}}
	j.Name, j.Namespace, j.UID = "j", "default", "job"
	j.Spec.Template.Labels = labels
	j.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	return j
}

// change alters a Job or a pod of a case.
type (
	changeJob func(*batchv1.Job)
	changePod func(*pod)
)

func jobWith(j *batchv1.Job, changes ...changeJob) *batchv1.Job {
	for _, f := range changes {
		f(j)
	}
	return j
}

func inIndexes(j *batchv1.Job) {
	mode := batchv1.IndexedCompletion
	j.Spec.CompletionMode = &mode
}

func perIndex(limit int32) changeJob {
	return func(j *batchv1.Job) {
		inIndexes(j)
		all := int32(1<<31 - 1)
		j.Spec.BackoffLimitPerIndex, j.Spec.BackoffLimit = &limit, &all
	}
}

func maxFailed(n int32) changeJob {
	return func(j *batchv1.Job) { j.Spec.MaxFailedIndexes = &n }
}

func limit(n int32) changeJob { return func(j *batchv1.Job) { j.Spec.BackoffLimit = &n } }

func pause(j *batchv1.Job) { yes := true; j.Spec.Suspend = &yes }

func patient(j *batchv1.Job) {
	policy := batchv1.Failed
	j.Spec.PodReplacementPolicy = &policy
}

func startedFor(d time.Duration) changeJob {
	return func(j *batchv1.Job) { at := metav1.NewTime(now.Add(-d)); j.Status.StartTime = &at }
}

func deadline(s int64) changeJob { return func(j *batchv1.Job) { j.Spec.ActiveDeadlineSeconds = &s } }

func anyNumber(j *batchv1.Job) { j.Spec.Completions = nil }

func counted(succeeded, failed int32) changeJob {
	return func(j *batchv1.Job) { j.Status.Succeeded, j.Status.Failed = succeeded, failed }
}

func completed(text string) changeJob {
	return func(j *batchv1.Job) { j.Status.CompletedIndexes = text }
}

func broken(text string) changeJob {
	return func(j *batchv1.Job) { j.Status.FailedIndexes = &text }
}

func uncounted(failed ...string) changeJob {
	return func(j *batchv1.Job) {
		j.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{Failed: failed}
	}
}

func said(t batchv1.JobConditionType, reason string) changeJob {
	return func(j *batchv1.Job) {
		j.Status.Conditions = append(j.Status.Conditions, *newCondition(t, reason, "before", now))
	}
}

func judgedBy(rules ...batchv1.PodFailurePolicyRule) changeJob {
	return func(j *batchv1.Job) { j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: rules} }
}

func onExit(action batchv1.PodFailurePolicyAction, codes ...int32) batchv1.PodFailurePolicyRule {
	return batchv1.PodFailurePolicyRule{Action: action, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: codes}}
}

func onDisruption(action batchv1.PodFailurePolicyAction) batchv1.PodFailurePolicyRule {
	return batchv1.PodFailurePolicyRule{Action: action, OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: "DisruptionTarget", Status: corev1.ConditionTrue}}}
}

// podOf is a running, ready and tracked pod.
func podOf(name string, changes ...changePod) *pod {
	p := &pod{}
	p.Name, p.Namespace, p.UID = name, "default", name
	p.Labels = map[string]string{"job": "j"}
	p.Finalizers = []string{batchv1.JobTrackingFinalizer}
	p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	p.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(newJob(1, 1), "batch/v1", kind)}
	p.Spec.NodeName = "node"
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []condition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}}
	for _, f := range changes {
		f(p)
	}
	return p
}

func at(index string) changePod {
	return func(p *pod) {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[batchv1.JobCompletionIndexAnnotation] = index
	}
}

func failedBefore(n, ignored string) changePod {
	return func(p *pod) {
		p.Annotations[batchv1.JobIndexFailureCountAnnotation] = n
		p.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation] = ignored
	}
}

// exited ends the pod's container, so long ago.
func exited(code int32, ago time.Duration) changePod {
	return func(p *pod) {
		p.Status.Phase = corev1.PodSucceeded
		if code != 0 {
			p.Status.Phase = corev1.PodFailed
		}
		p.Status.Conditions[0].Status = corev1.ConditionFalse
		c := container{Name: "c"}
		c.State.Terminated = &terminated{ExitCode: code, FinishedAt: metav1.NewTime(now.Add(-ago))}
		p.Status.ContainerStatuses = []container{c}
	}
}

func deleted(p *pod)  { at := metav1.NewTime(now); p.DeletionTimestamp = &at }
func let(p *pod)      { p.Finalizers = nil }
func pending(p *pod)  { p.Status.Phase, p.Status.Conditions = corev1.PodPending, nil }
func unplaced(p *pod) { pending(p); p.Spec.NodeName = "" }
func disrupted(p *pod) {
	p.Status.Conditions = append(p.Status.Conditions, condition{Type: "DisruptionTarget", Status: corev1.ConditionTrue})
}

func restarted(n int32) changePod {
	return func(p *pod) { p.Status.ContainerStatuses = []container{{Name: "c", RestartCount: n}} }
}
