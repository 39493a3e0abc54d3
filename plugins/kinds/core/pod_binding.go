package core

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	podv1util "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// binding assigns a pod to a node, once. Its errors reach the client as
// conflicts.
func binding() resource.Subresource {
	return resource.Subresource{
		Name: "binding", Style: resource.StyleAction, Verbs: kind.CreateVerbs,
		Kind:   corev1.SchemeGroupVersion.WithKind("Binding"),
		Action: func(_ context.Context, obj, body runtime.Object) (runtime.Object, error) { return nil, bind(obj, body) },
	}
}

// bindings is the same at the place where schedulers found it first.
func bindings() *resource.Definition {
	d := kind.Virtual(kind.Names{Kind: "Binding", Resource: "bindings"})
	d.Runs = &resource.Run{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Subresource: "binding"}
	return d
}

func bind(obj, body runtime.Object) error {
	b, ok := body.(*corev1.Binding)
	if !ok {
		return apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", body))
	}
	p := kind.Hub[corev1.Pod](obj)
	if b.Name != p.Name {
		return apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if err := checkBindingTarget(&b.Target); err != nil {
		return err
	}
	switch {
	case p.DeletionTimestamp != nil:
		return fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", p.Name)
	case p.Spec.NodeName != "":
		return fmt.Errorf("pod %v is already assigned to node %q", p.Name, p.Spec.NodeName)
	case len(p.Spec.SchedulingGates) > 0:
		return fmt.Errorf("pod %v has non-empty .spec.schedulingGates", p.Name)
	}
	p.Spec.NodeName = b.Target.Name
	p.Status.NominatedNodeName = ""
	p.Annotations = merged(p.Annotations, b.Annotations)
	podutil.DropInitContainerAnnotations(p.Annotations)
	p.Labels = merged(p.Labels, b.Labels)
	podv1util.UpdatePodCondition(&p.Status, &corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	return nil
}

// checkBindingTarget: upstream answers this as an error of its own, 500.
func checkBindingTarget(t *corev1.ObjectReference) error {
	var errs field.ErrorList
	path := field.NewPath("target")
	if t.Kind != "" && t.Kind != "Node" {
		errs = append(errs, field.NotSupported(path.Child("kind"), t.Kind, []string{"Node", "<empty>"}))
	}
	if t.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	if len(errs) == 0 {
		return nil
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Reason: metav1.StatusReasonUnknown, Message: errs.ToAggregate().Error()}}
}

// merged adds the entries of b to a, which it may change.
func merged(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	if a == nil {
		a = make(map[string]string, len(b))
	}
	for k, v := range b {
		a[k] = v
	}
	return a
}
