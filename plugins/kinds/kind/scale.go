package kind

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Scaled is what the scale subresource shows of an object and may set.
type Scaled struct {
	Replicas *int32 // of the spec
	Current  int32  // of the status
	Selector labels.Selector
	Set      func(replicas int32)
}

// Scale is the subresource of a kind that has replicas. It speaks
// autoscaling/v1, whatever the version of the parent.
func Scale[H any](gr schema.GroupResource, of func(*H) (Scaled, error)) resource.Subresource {
	return resource.Subresource{
		Name: "scale", Style: resource.StyleProjection, Verbs: UpdateVerbs,
		Kind: autoscalingv1.SchemeGroupVersion.WithKind("Scale"),
		Get: func(_ context.Context, obj runtime.Object) (runtime.Object, error) {
			h := Hub[H](obj)
			s, err := of(h)
			if err != nil {
				return nil, apierrors.NewBadRequest(err.Error())
			}
			return scaleOf(metaOf(h), s), nil
		},
		Set: func(_ context.Context, obj, sub runtime.Object) error {
			h := Hub[H](obj)
			s, err := of(h)
			if err != nil {
				return apierrors.NewBadRequest(err.Error())
			}
			return setScale(gr, metaOf(h), s, sub)
		},
	}
}

func scaleOf(m *metav1.ObjectMeta, s Scaled) *autoscalingv1.Scale {
	out := &autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
		ObjectMeta: metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID,
			ResourceVersion: m.ResourceVersion, CreationTimestamp: m.CreationTimestamp},
		Status: autoscalingv1.ScaleStatus{Replicas: s.Current},
	}
	if s.Replicas != nil {
		out.Spec.Replicas = *s.Replicas
	}
	if s.Selector != nil {
		out.Status.Selector = s.Selector.String()
	}
	return out
}

func setScale(gr schema.GroupResource, m *metav1.ObjectMeta, s Scaled, sub runtime.Object) error {
	in, ok := sub.(*autoscalingv1.Scale)
	if !ok {
		return apierrors.NewBadRequest(fmt.Sprintf("expected input object type to be Scale, but %T", sub))
	}
	internal := &autoscaling.Scale{}
	if err := legacyscheme.Scheme.Convert(in, internal, nil); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	errs := autoscalingvalidation.ValidateScale(internal)
	errs = Declaration{}.merge(context.Background(), errs, legacyscheme.Scheme.ValidateUpdate(context.Background(), nil, in, scaleOf(m, s), "scale"))
	if len(errs) > 0 {
		return apierrors.NewInvalid(autoscaling.Kind("Scale"), m.Name, errs)
	}
	if in.UID != "" && in.UID != m.UID {
		return apierrors.NewConflict(schema.GroupResource{Group: gr.Group, Resource: gr.Resource + "/scale"}, m.Name,
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", in.UID, m.UID))
	}
	s.Set(in.Spec.Replicas)
	// The client's resourceVersion becomes the write's precondition.
	if in.ResourceVersion != "" {
		m.ResourceVersion = in.ResourceVersion
	}
	return nil
}
