// Package autoscaling defines the kinds of the API group autoscaling.
package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	"k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

func validateAutoscaler(h *autoscaling.HorizontalPodAutoscaler) field.ErrorList {
	return validation.ValidateHorizontalPodAutoscaler(h, autoscalerOptions(h, nil))
}

func validateAutoscalerUpdate(h, old *autoscaling.HorizontalPodAutoscaler) field.ErrorList {
	return validation.ValidateHorizontalPodAutoscalerUpdate(h, old, autoscalerOptions(h, old))
}

func validateAutoscalerStatus(h, old *autoscaling.HorizontalPodAutoscaler) field.ErrorList {
	return validation.ValidateHorizontalPodAutoscalerStatusUpdate(h, old)
}

// scalesToZero: allowed by the feature, or because the object did it before.
func scalesToZero(old *autoscaling.HorizontalPodAutoscaler) bool {
	return kind.Enabled(features.HPAScaleToZero) || old != nil && ptr.Deref(old.Spec.MinReplicas, 1) == 0
}

func declareAutoscaler(_, old *autoscaling.HorizontalPodAutoscaler) kind.Declaration {
	return kind.Declaration{Options: map[string]bool{string(features.HPAScaleToZero): scalesToZero(old)}}
}

// autoscalerOptions tolerate what an old object has already.
func autoscalerOptions(h, old *autoscaling.HorizontalPodAutoscaler) validation.HorizontalPodAutoscalerSpecValidationOptions {
	o := validation.HorizontalPodAutoscalerSpecValidationOptions{
		MinReplicasLowerBound:           1,
		ScaleTargetRefValidationOptions: validation.CrossVersionObjectReferenceValidationOptions{RequiredCoveredByDeclarative: true},
		ObjectMetricsValidationOptions:  validation.CrossVersionObjectReferenceValidationOptions{AllowEmptyAPIGroup: true},
	}
	if scalesToZero(old) {
		o.MinReplicasLowerBound = 0
	}
	target := h.Spec.ScaleTargetRef
	switch {
	case old != nil && old.Spec.ScaleTargetRef.APIVersion == target.APIVersion && old.Spec.ScaleTargetRef.Kind == target.Kind:
		o.ScaleTargetRefValidationOptions.AllowInvalidAPIVersion = true
	case target.Kind == "ReplicationController":
		o.ScaleTargetRefValidationOptions.AllowEmptyAPIGroup = true
	}
	if old == nil {
		return o
	}
	for _, m := range old.Spec.Metrics {
		if m.Type == autoscaling.ObjectMetricSourceType && m.Object != nil &&
			validation.ValidateAPIVersion(m.Object.DescribedObject, o.ObjectMetricsValidationOptions) != nil {
			o.ObjectMetricsValidationOptions.AllowInvalidAPIVersion = true
			break
		}
	}
	return o
}

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: "autoscaling", Kind: "HorizontalPodAutoscaler", Resource: "horizontalpodautoscalers", NeedsImplementer: true, Short: []string{"hpa"}, Categories: kind.All,
			Versions: []string{"v2", "v1"}}, kind.Rule[autoscalingv2.HorizontalPodAutoscaler, autoscaling.HorizontalPodAutoscaler]{
			Status:         kind.HasStatus,
			Generation:     kind.BySpec,
			Validate:       validateAutoscaler,
			ValidateUpdate: validateAutoscalerUpdate,
			ValidateStatus: validateAutoscalerStatus,
			Declare:        declareAutoscaler,
		}),
	}
}
