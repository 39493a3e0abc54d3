package resources

import (
	"context"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	pvcutil "k8s.io/kubernetes/pkg/api/persistentvolumeclaim"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/helper"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/features"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

func workloadKinds() []*resource.Definition {
	return []*resource.Definition{
		define(names{group: "apps", kind: "ControllerRevision", resource: "controllerrevisions"}, rule[appsv1.ControllerRevision, apps.ControllerRevision]{
			validate:       appsvalidation.ValidateControllerRevisionCreate,
			validateUpdate: appsvalidation.ValidateControllerRevisionUpdate,
		}),
		define(names{group: "apps", kind: "DaemonSet", resource: "daemonsets", short: []string{"ds"}, categories: all}, daemonSets()),
		define(names{group: "apps", kind: "Deployment", resource: "deployments", short: []string{"deploy"}, categories: all}, deployments()),
		define(names{group: "apps", kind: "ReplicaSet", resource: "replicasets", short: []string{"rs"}, categories: all}, replicaSets()),
		define(names{group: "apps", kind: "StatefulSet", resource: "statefulsets", short: []string{"sts"}, categories: all}, statefulSets()),
		define(names{kind: "ReplicationController", resource: "replicationcontrollers", short: []string{"rc"}, categories: all, prefix: "controllers"}, replicationControllers()),
		define(names{group: "autoscaling", kind: "HorizontalPodAutoscaler", resource: "horizontalpodautoscalers", short: []string{"hpa"}, categories: all,
			versions: []string{"v2", "v1"}}, rule[autoscalingv2.HorizontalPodAutoscaler, autoscaling.HorizontalPodAutoscaler]{
			status:         hasStatus,
			generation:     bySpec,
			validate:       validateAutoscaler,
			validateUpdate: validateAutoscalerUpdate,
			validateStatus: validateAutoscalerStatus,
			declare:        declareAutoscaler,
		}),
		define(names{group: "batch", kind: "CronJob", resource: "cronjobs", short: []string{"cj"}, categories: all}, cronJobs()),
		define(names{group: "batch", kind: "Job", resource: "jobs", categories: all}, jobs()),
	}
}

func daemonSets() rule[appsv1.DaemonSet, apps.DaemonSet] {
	template := func(d *apps.DaemonSet) *core.PodTemplateSpec { return &d.Spec.Template }
	return rule[appsv1.DaemonSet, apps.DaemonSet]{
		status:     hasStatus,
		generation: bySpec,
		// The internal version counts changes of the template; the hub keeps
		// the count in an annotation that conversion reads and writes.
		internal: func(ctx context.Context, d, old *apps.DaemonSet) {
			dropTemplate(template)(ctx, d, old)
			switch {
			case old == nil:
				d.Spec.TemplateGeneration = max(d.Spec.TemplateGeneration, 1)
			case !equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template):
				d.Spec.TemplateGeneration = old.Spec.TemplateGeneration + 1
			default:
				d.Spec.TemplateGeneration = old.Spec.TemplateGeneration
			}
		},
		validate: checkTemplate(template, appsvalidation.ValidateDaemonSet),
		validateUpdate: func(d, old *apps.DaemonSet) field.ErrorList {
			o := podutil.GetValidationOptionsFromPodTemplate(&d.Spec.Template, &old.Spec.Template)
			o.AllowInvalidLabelValueInSelector = o.AllowInvalidLabelValueInSelector || metav1validation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector)
			return appsvalidation.ValidateDaemonSetUpdate(d, old, o)
		},
		validateStatus: appsvalidation.ValidateDaemonSetStatusUpdate,
		warn: func(ctx context.Context, d, old *apps.DaemonSet) []string {
			var oldTemplate *core.PodTemplateSpec
			if old != nil {
				if d.Spec.TemplateGeneration == old.Spec.TemplateGeneration {
					return nil
				}
				oldTemplate = &old.Spec.Template
			}
			return podutil.GetWarningsForPodTemplate(ctx, field.NewPath("spec", "template"), &d.Spec.Template, oldTemplate)
		},
	}
}

func deployments() rule[appsv1.Deployment, apps.Deployment] {
	template := func(d *apps.Deployment) *core.PodTemplateSpec { return &d.Spec.Template }
	return rule[appsv1.Deployment, apps.Deployment]{
		status:     hasStatus,
		generation: bySpec,
		changed: func(d, old *appsv1.Deployment) bool {
			return !equality.Semantic.DeepEqual(d.Spec, old.Spec) || !equality.Semantic.DeepEqual(d.Annotations, old.Annotations)
		},
		internal:       dropTemplate(template),
		statusUpdate:   func(_ context.Context, d, old *appsv1.Deployment) { d.Labels = old.Labels },
		statusResets:   []fieldpath.Path{path("metadata", "labels")},
		validate:       checkTemplate(template, appsvalidation.ValidateDeployment),
		validateUpdate: checkTemplateUpdate(template, appsvalidation.ValidateDeploymentUpdate),
		validateStatus: appsvalidation.ValidateDeploymentStatusUpdate,
		warn:           warnNameAndTemplate(template),
		subresources: []resource.Subresource{scale(schema.GroupResource{Group: "apps", Resource: "deployments"}, func(d *appsv1.Deployment) (scaled, error) {
			sel, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
			return scaled{d.Spec.Replicas, d.Status.Replicas, sel, func(n int32) { d.Spec.Replicas = &n }}, err
		})},
	}
}

func replicaSets() rule[appsv1.ReplicaSet, apps.ReplicaSet] {
	template := func(r *apps.ReplicaSet) *core.PodTemplateSpec { return &r.Spec.Template }
	return rule[appsv1.ReplicaSet, apps.ReplicaSet]{
		status:         hasStatus,
		generation:     bySpec,
		internal:       dropTemplate(template),
		validate:       checkTemplate(template, appsvalidation.ValidateReplicaSet),
		validateUpdate: checkTemplateUpdate(template, appsvalidation.ValidateReplicaSetUpdate),
		validateStatus: appsvalidation.ValidateReplicaSetStatusUpdate,
		warn:           warnNameAndTemplate(template),
		subresources: []resource.Subresource{scale(schema.GroupResource{Group: "apps", Resource: "replicasets"}, func(r *appsv1.ReplicaSet) (scaled, error) {
			sel, err := metav1.LabelSelectorAsSelector(r.Spec.Selector)
			return scaled{r.Spec.Replicas, r.Status.Replicas, sel, func(n int32) { r.Spec.Replicas = &n }}, err
		})},
	}
}

func statefulSets() rule[appsv1.StatefulSet, apps.StatefulSet] {
	template := func(s *apps.StatefulSet) *core.PodTemplateSpec { return &s.Spec.Template }
	return rule[appsv1.StatefulSet, apps.StatefulSet]{
		// Protobuf does not hold the kind of embedded objects.
		decoded: func(s *appsv1.StatefulSet) {
			for i := range s.Spec.VolumeClaimTemplates {
				s.Spec.VolumeClaimTemplates[i].SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"))
			}
		},
		status:     hasStatus,
		generation: bySpec,
		internal:   dropTemplate(template),
		validate: func(s *apps.StatefulSet) field.ErrorList {
			return appsvalidation.ValidateStatefulSet(s, appsvalidation.StatefulSetValidationOptions{
				AllowStatefulSetRecreateStrategy: enabled(features.StatefulSetRecreateStrategy),
			}, podutil.GetValidationOptionsFromPodTemplate(&s.Spec.Template, nil))
		},
		// What cannot change is not held against an old object.
		validateUpdate: func(s, old *apps.StatefulSet) field.ErrorList {
			return appsvalidation.ValidateStatefulSetUpdate(s, old, appsvalidation.StatefulSetValidationOptions{
				AllowInvalidServiceName:          true,
				SkipValidateVolumeClaimTemplates: true,
				AllowStatefulSetRecreateStrategy: enabled(features.StatefulSetRecreateStrategy) || old.Spec.UpdateStrategy.Type == apps.RecreateStatefulSetStrategyType,
			}, podutil.GetValidationOptionsFromPodTemplate(&s.Spec.Template, &old.Spec.Template))
		},
		validateStatus: appsvalidation.ValidateStatefulSetStatusUpdate,
		warn: func(ctx context.Context, s, old *apps.StatefulSet) []string {
			out := warnTemplate(template)(ctx, s, old)
			for i, c := range s.Spec.VolumeClaimTemplates {
				path := field.NewPath("spec", "volumeClaimTemplates").Index(i)
				if old != nil {
					path = path.Child("Spec")
				}
				out = append(out, pvcutil.GetWarningsForPersistentVolumeClaimSpec(path, c.Spec)...)
			}
			if l := s.Spec.RevisionHistoryLimit; l != nil && *l < 0 {
				out = append(out, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
			}
			return out
		},
		subresources: []resource.Subresource{scale(schema.GroupResource{Group: "apps", Resource: "statefulsets"}, func(s *appsv1.StatefulSet) (scaled, error) {
			sel, err := metav1.LabelSelectorAsSelector(s.Spec.Selector)
			return scaled{s.Spec.Replicas, s.Status.Replicas, sel, func(n int32) { s.Spec.Replicas = &n }}, err
		})},
	}
}

func replicationControllers() rule[corev1.ReplicationController, core.ReplicationController] {
	return rule[corev1.ReplicationController, core.ReplicationController]{
		status:     hasStatus,
		generation: bySpec,
		orphans:    true,
		internal: func(_ context.Context, r, old *core.ReplicationController) {
			podutil.DropDisabledTemplateFields(r.Spec.Template, templateOf(old, func(o *core.ReplicationController) *core.PodTemplateSpec { return o.Spec.Template }))
		},
		validate: func(r *core.ReplicationController) field.ErrorList {
			return validation.ValidateReplicationController(r, podutil.GetValidationOptionsFromPodTemplate(r.Spec.Template, nil))
		},
		validateUpdate: func(r, old *core.ReplicationController) field.ErrorList {
			errs := validation.ValidateReplicationControllerUpdate(r, old, podutil.GetValidationOptionsFromPodTemplate(r.Spec.Template, old.Spec.Template))
			for key, value := range helper.NonConvertibleFields(old.Annotations) {
				_, name, ok := strings.Cut(key, "/")
				switch {
				case !ok:
				case !strings.Contains(name, "selector"):
					errs = append(errs, &field.Error{Type: field.ErrorTypeNotFound, BadValue: value, Field: name, Detail: "unknown non-convertible field"})
				case !equality.Semantic.DeepEqual(old.Spec.Selector, r.Spec.Selector):
					errs = append(errs, field.Invalid(field.NewPath("spec", "selector"), r.Spec.Selector, "cannot update non-convertible selector"))
				}
			}
			return errs
		},
		validateStatus: validation.ValidateReplicationControllerStatusUpdate,
		warn:           warnNameAndTemplate(func(r *core.ReplicationController) *core.PodTemplateSpec { return r.Spec.Template }),
		fields: []selectable[corev1.ReplicationController]{
			{"status.replicas", func(r *corev1.ReplicationController) string { return strconv.Itoa(int(r.Status.Replicas)) }},
		},
		subresources: []resource.Subresource{scale(schema.GroupResource{Resource: "replicationcontrollers"}, func(r *corev1.ReplicationController) (scaled, error) {
			return scaled{r.Spec.Replicas, r.Status.Replicas, labels.SelectorFromSet(r.Spec.Selector), func(n int32) { r.Spec.Replicas = &n }}, nil
		})},
	}
}

func cronJobs() rule[batchv1.CronJob, batch.CronJob] {
	template := func(c *batch.CronJob) *core.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template }
	return rule[batchv1.CronJob, batch.CronJob]{
		status:     hasStatus,
		generation: bySpec,
		internal: func(ctx context.Context, c, old *batch.CronJob) {
			var oldSpec *batch.JobSpec
			if old != nil {
				oldSpec = &old.Spec.JobTemplate.Spec
			}
			dropJob(&c.Spec.JobTemplate.Spec, oldSpec)
		},
		validate:       checkTemplate(template, batchvalidation.ValidateCronJobCreate),
		validateUpdate: checkTemplateUpdate(template, batchvalidation.ValidateCronJobUpdate),
		declare:        func(_, _ *batch.CronJob) declaration { return declaration{options: gates(features.WorkloadWithJob)} },
		warn:           cronJobWarnings,
	}
}
