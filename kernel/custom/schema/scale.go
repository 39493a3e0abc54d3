package schema

import (
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Scale is what the scale subresource shows of an object.
//
// # Errors
//   - resource.UnsetError beside the Scale: the object has no number of replicas
//   - InternalError of apierrors: a field that it shows is of another type
func (s *Schema) Scale(u *unstructured.Unstructured) (*autoscalingv1.Scale, error) {
	if s.scale == nil {
		return nil, apierrors.NewNotFound(s.Kind.GroupVersion().WithResource(s.Kind.Kind+"/scale").GroupResource(), u.GetName())
	}
	out := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(),
		ResourceVersion: u.GetResourceVersion(), CreationTimestamp: u.GetCreationTimestamp()}}
	spec, found, err := unstructured.NestedInt64(u.Object, steps(s.scale.SpecReplicasPath)...)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	status, _, err := unstructured.NestedInt64(u.Object, steps(s.scale.StatusReplicasPath)...)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out.Spec.Replicas, out.Status.Replicas = int32(spec), int32(status)
	if path := s.scale.LabelSelectorPath; path != nil && *path != "" {
		if out.Status.Selector, _, err = unstructured.NestedString(u.Object, steps(*path)...); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
	}
	if !found {
		return out, &resource.UnsetError{Message: fmt.Sprintf("the spec replicas field %q does not exist", s.scale.SpecReplicasPath)}
	}
	return out, nil
}

// SetScale writes a Scale's replicas into an object.
//
// # Errors
//   - Invalid: the replicas are negative
//   - BadRequest: the object has something else in their place
func (s *Schema) SetScale(u *unstructured.Unstructured, scale *autoscalingv1.Scale) error {
	if n := scale.Spec.Replicas; n < 0 {
		return apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), scale.Name,
			field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), n, "must be greater than or equal to 0")})
	}
	if err := unstructured.SetNestedField(u.Object, int64(scale.Spec.Replicas), steps(s.scale.SpecReplicasPath)...); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

// ReplicasPath is the field that a Scale stands for; nil when there is no scale.
func ReplicasPath(specReplicas string) fieldpath.Path {
	var out fieldpath.Path
	for _, name := range steps(specReplicas) {
		out = append(out, fieldpath.PathElement{FieldName: &name})
	}
	return out
}
