package core

import (
	"context"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/helper"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
	"github.com/pintle-io/pintle/plugins/kinds/podtemplate"
)

func replicationControllers() kind.Rule[corev1.ReplicationController, core.ReplicationController] {
	return kind.Rule[corev1.ReplicationController, core.ReplicationController]{
		Status:     kind.HasStatus,
		Generation: kind.BySpec,
		Orphans:    true,
		Internal: func(_ context.Context, r, old *core.ReplicationController) {
			podutil.DropDisabledTemplateFields(r.Spec.Template, podtemplate.Of(old, func(o *core.ReplicationController) *core.PodTemplateSpec { return o.Spec.Template }))
		},
		Validate: func(r *core.ReplicationController) field.ErrorList {
			return validation.ValidateReplicationController(r, podutil.GetValidationOptionsFromPodTemplate(r.Spec.Template, nil))
		},
		ValidateUpdate: func(r, old *core.ReplicationController) field.ErrorList {
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
		ValidateStatus: validation.ValidateReplicationControllerStatusUpdate,
		Warn:           podtemplate.WarnWithName(func(r *core.ReplicationController) *core.PodTemplateSpec { return r.Spec.Template }),
		Fields: []kind.Selectable[corev1.ReplicationController]{
			{Label: "status.replicas", Value: func(r *corev1.ReplicationController) string { return strconv.Itoa(int(r.Status.Replicas)) }},
		},
		Subresources: []resource.Subresource{kind.Scale(schema.GroupResource{Resource: "replicationcontrollers"}, func(r *corev1.ReplicationController) (kind.Scaled, error) {
			return kind.Scaled{Replicas: r.Spec.Replicas, Current: r.Status.Replicas, Selector: labels.SelectorFromSet(r.Spec.Selector), Set: func(n int32) { r.Spec.Replicas = &n }}, nil
		})},
	}
}
