package resources

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"github.com/pintle-io/pintle/kernel/resource"
)

// namespaces live until spec.finalizers is empty: the namespace controller
// empties the namespace and then removes the finalizer through /finalize.
func namespaces() *resource.Definition {
	return define(names{kind: "Namespace", resource: "namespaces", short: []string{"ns"}, cluster: true,
		verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}}, rule[corev1.Namespace, core.Namespace]{
		status:        hasStatus,
		returnDeleted: true,
		create: func(_ context.Context, n *corev1.Namespace) {
			n.Status.Phase = corev1.NamespaceActive
			if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
				n.Spec.Finalizers = append(slices.Clip(n.Spec.Finalizers), corev1.FinalizerKubernetes)
			}
		},
		update:         func(_ context.Context, n, old *corev1.Namespace) { n.Spec.Finalizers = old.Spec.Finalizers },
		validate:       validation.ValidateNamespace,
		validateUpdate: both(validation.ValidateNamespace, validation.ValidateNamespaceUpdate),
		validateStatus: validation.ValidateNamespaceStatusUpdate,
		canonicalize: func(n *corev1.Namespace) {
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
		fields: []selectable[corev1.Namespace]{
			{"status.phase", func(n *corev1.Namespace) string { return string(n.Status.Phase) }},
		},
		subresources: []resource.Subresource{part[corev1.Namespace]("finalize", []string{"update"}, without(path("status")),
			func(n, old *core.Namespace) { n.Status = old.Status }, validation.ValidateNamespaceFinalizeUpdate)},
		finish: func(s *resource.Strategy) {
			s.Held = func(obj runtime.Object) bool { return len(hub[corev1.Namespace](obj).Spec.Finalizers) > 0 }
			s.PrepareForDelete = func(_ context.Context, obj runtime.Object) {
				hub[corev1.Namespace](obj).Status.Phase = corev1.NamespaceTerminating
			}
		},
	})
}
