// Package apps defines the kinds of the API group apps.
package apps

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	pvcutil "k8s.io/kubernetes/pkg/api/persistentvolumeclaim"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/features"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
	"github.com/pintle-io/pintle/plugins/kinds/podtemplate"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: "apps", Kind: "ControllerRevision", Resource: "controllerrevisions"}, kind.Rule[appsv1.ControllerRevision, apps.ControllerRevision]{
			Validate:       appsvalidation.ValidateControllerRevisionCreate,
			ValidateUpdate: appsvalidation.ValidateControllerRevisionUpdate,
		}),
		kind.Define(kind.Names{Group: "apps", Kind: "DaemonSet", Resource: "daemonsets", NeedsImplementer: true, Short: []string{"ds"}, Categories: kind.All}, daemonSets()),
		kind.Define(kind.Names{Group: "apps", Kind: "Deployment", Resource: "deployments", NeedsImplementer: true, Short: []string{"deploy"}, Categories: kind.All}, deployments()),
		kind.Define(kind.Names{Group: "apps", Kind: "ReplicaSet", Resource: "replicasets", NeedsImplementer: true, Short: []string{"rs"}, Categories: kind.All}, replicaSets()),
		kind.Define(kind.Names{Group: "apps", Kind: "StatefulSet", Resource: "statefulsets", NeedsImplementer: true, Short: []string{"sts"}, Categories: kind.All}, statefulSets()),
	}
}

func daemonSets() kind.Rule[appsv1.DaemonSet, apps.DaemonSet] {
	template := func(d *apps.DaemonSet) *core.PodTemplateSpec { return &d.Spec.Template }
	return kind.Rule[appsv1.DaemonSet, apps.DaemonSet]{
		Status:     kind.HasStatus,
		Generation: kind.BySpec,
		// The internal version counts changes of the template; the hub keeps
		// the count in an annotation that conversion reads and writes.
		Internal: func(ctx context.Context, d, old *apps.DaemonSet) {
			podtemplate.DropDisabled(template)(ctx, d, old)
			switch {
			case old == nil:
				d.Spec.TemplateGeneration = max(d.Spec.TemplateGeneration, 1)
			case !equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template):
				d.Spec.TemplateGeneration = old.Spec.TemplateGeneration + 1
			default:
				d.Spec.TemplateGeneration = old.Spec.TemplateGeneration
			}
		},
		Validate: podtemplate.Check(template, appsvalidation.ValidateDaemonSet),
		ValidateUpdate: func(d, old *apps.DaemonSet) field.ErrorList {
			o := podutil.GetValidationOptionsFromPodTemplate(&d.Spec.Template, &old.Spec.Template)
			o.AllowInvalidLabelValueInSelector = o.AllowInvalidLabelValueInSelector || metav1validation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector)
			return appsvalidation.ValidateDaemonSetUpdate(d, old, o)
		},
		ValidateStatus: appsvalidation.ValidateDaemonSetStatusUpdate,
		Finish:         func(s *resource.Strategy) { s.Received = countTemplates },
		Warn: func(ctx context.Context, d, old *apps.DaemonSet) []string {
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

// countTemplates gives a DaemonSet without a count of its templates that of none, as
// conversion from the internal version does: who sends it owns the count.
func countTemplates(obj runtime.Object) {
	d := obj.(*appsv1.DaemonSet)
	if _, ok := d.Annotations[appsv1.DeprecatedTemplateGeneration]; ok {
		return
	}
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[appsv1.DeprecatedTemplateGeneration] = "0"
}

func deployments() kind.Rule[appsv1.Deployment, apps.Deployment] {
	template := func(d *apps.Deployment) *core.PodTemplateSpec { return &d.Spec.Template }
	return kind.Rule[appsv1.Deployment, apps.Deployment]{
		Status:     kind.HasStatus,
		Generation: kind.BySpec,
		Changed: func(d, old *appsv1.Deployment) bool {
			return !equality.Semantic.DeepEqual(d.Spec, old.Spec) || !equality.Semantic.DeepEqual(d.Annotations, old.Annotations)
		},
		Internal:       podtemplate.DropDisabled(template),
		StatusUpdate:   func(_ context.Context, d, old *appsv1.Deployment) { d.Labels = old.Labels },
		StatusResets:   []fieldpath.Path{kind.Path("metadata", "labels")},
		Validate:       podtemplate.Check(template, appsvalidation.ValidateDeployment),
		ValidateUpdate: podtemplate.CheckUpdate(template, appsvalidation.ValidateDeploymentUpdate),
		ValidateStatus: appsvalidation.ValidateDeploymentStatusUpdate,
		Warn:           podtemplate.WarnWithName(template),
		Subresources: []resource.Subresource{kind.Scale(schema.GroupResource{Group: "apps", Resource: "deployments"}, func(d *appsv1.Deployment) (kind.Scaled, error) {
			sel, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
			return kind.Scaled{Replicas: d.Spec.Replicas, Current: d.Status.Replicas, Selector: sel, Set: func(n int32) { d.Spec.Replicas = &n }}, err
		})},
	}
}

func replicaSets() kind.Rule[appsv1.ReplicaSet, apps.ReplicaSet] {
	template := func(r *apps.ReplicaSet) *core.PodTemplateSpec { return &r.Spec.Template }
	return kind.Rule[appsv1.ReplicaSet, apps.ReplicaSet]{
		Status:         kind.HasStatus,
		Generation:     kind.BySpec,
		Internal:       podtemplate.DropDisabled(template),
		Validate:       podtemplate.Check(template, appsvalidation.ValidateReplicaSet),
		ValidateUpdate: podtemplate.CheckUpdate(template, appsvalidation.ValidateReplicaSetUpdate),
		ValidateStatus: appsvalidation.ValidateReplicaSetStatusUpdate,
		Warn:           podtemplate.WarnWithName(template),
		Subresources: []resource.Subresource{kind.Scale(schema.GroupResource{Group: "apps", Resource: "replicasets"}, func(r *appsv1.ReplicaSet) (kind.Scaled, error) {
			sel, err := metav1.LabelSelectorAsSelector(r.Spec.Selector)
			return kind.Scaled{Replicas: r.Spec.Replicas, Current: r.Status.Replicas, Selector: sel, Set: func(n int32) { r.Spec.Replicas = &n }}, err
		})},
	}
}

func statefulSets() kind.Rule[appsv1.StatefulSet, apps.StatefulSet] {
	template := func(s *apps.StatefulSet) *core.PodTemplateSpec { return &s.Spec.Template }
	return kind.Rule[appsv1.StatefulSet, apps.StatefulSet]{
		// Protobuf does not hold the kind of embedded objects.
		Decoded: func(s *appsv1.StatefulSet) {
			for i := range s.Spec.VolumeClaimTemplates {
				s.Spec.VolumeClaimTemplates[i].SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"))
			}
		},
		Status:     kind.HasStatus,
		Generation: kind.BySpec,
		Internal:   podtemplate.DropDisabled(template),
		Validate: func(s *apps.StatefulSet) field.ErrorList {
			return appsvalidation.ValidateStatefulSet(s, appsvalidation.StatefulSetValidationOptions{
				AllowStatefulSetRecreateStrategy: kind.Enabled(features.StatefulSetRecreateStrategy),
			}, podutil.GetValidationOptionsFromPodTemplate(&s.Spec.Template, nil))
		},
		// What cannot change is not held against an old object.
		ValidateUpdate: func(s, old *apps.StatefulSet) field.ErrorList {
			return appsvalidation.ValidateStatefulSetUpdate(s, old, appsvalidation.StatefulSetValidationOptions{
				AllowInvalidServiceName:          true,
				SkipValidateVolumeClaimTemplates: true,
				AllowStatefulSetRecreateStrategy: kind.Enabled(features.StatefulSetRecreateStrategy) || old.Spec.UpdateStrategy.Type == apps.RecreateStatefulSetStrategyType,
			}, podutil.GetValidationOptionsFromPodTemplate(&s.Spec.Template, &old.Spec.Template))
		},
		ValidateStatus: appsvalidation.ValidateStatefulSetStatusUpdate,
		Warn: func(ctx context.Context, s, old *apps.StatefulSet) []string {
			out := podtemplate.Warn(template)(ctx, s, old)
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
		Subresources: []resource.Subresource{kind.Scale(schema.GroupResource{Group: "apps", Resource: "statefulsets"}, func(s *appsv1.StatefulSet) (kind.Scaled, error) {
			sel, err := metav1.LabelSelectorAsSelector(s.Spec.Selector)
			return kind.Scaled{Replicas: s.Spec.Replicas, Current: s.Status.Replicas, Selector: sel, Set: func(n int32) { s.Spec.Replicas = &n }}, err
		})},
	}
}
