package core

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// namespaces live until spec.finalizers is empty: the namespace controller
// empties the namespace and then removes the finalizer through /finalize.
func namespaces() *resource.Definition {
	return kind.Define(kind.Names{Kind: "Namespace", Resource: "namespaces", NeedsImplementer: true, Short: []string{"ns"}, Cluster: true,
		Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}}, kind.Rule[corev1.Namespace, core.Namespace]{
		Status:        kind.HasStatus,
		ReturnDeleted: true,
		Create: func(_ context.Context, n *corev1.Namespace) {
			n.Status.Phase = corev1.NamespaceActive
			if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
				n.Spec.Finalizers = append(slices.Clip(n.Spec.Finalizers), corev1.FinalizerKubernetes)
			}
		},
		Update:         func(_ context.Context, n, old *corev1.Namespace) { n.Spec.Finalizers = old.Spec.Finalizers },
		Validate:       validation.ValidateNamespace,
		ValidateUpdate: kind.Both(validation.ValidateNamespace, validation.ValidateNamespaceUpdate),
		ValidateStatus: validation.ValidateNamespaceStatusUpdate,
		Canonicalize: func(n *corev1.Namespace) {
			if n.Labels[corev1.LabelMetadataName] == n.Name {
				return
			}
			labels := make(map[string]string, len(n.Labels)+1)
			for k, v := range n.Labels {
				labels[k] = v
			}
			labels[corev1.LabelMetadataName] = n.Name
			n.Labels = labels
		},
		Fields: []kind.Selectable[corev1.Namespace]{
			{Label: "status.phase", Value: func(n *corev1.Namespace) string { return string(n.Status.Phase) }},
		},
		Subresources: []resource.Subresource{kind.Part[corev1.Namespace]("finalize", []string{"update"}, kind.Without(kind.Path("status")),
			func(n, old *core.Namespace) { n.Status = old.Status }, validation.ValidateNamespaceFinalizeUpdate)},
		Finish: func(s *resource.Strategy) {
			s.Held = func(obj runtime.Object) bool { return len(kind.Hub[corev1.Namespace](obj).Spec.Finalizers) > 0 }
			s.PrepareForDelete = func(_ context.Context, obj runtime.Object) {
				kind.Hub[corev1.Namespace](obj).Status.Phase = corev1.NamespaceTerminating
			}
		},
	})
}
