package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestNamespaceLife(t *testing.T) {
	d := kindtest.Definition(t, "namespaces")
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", ResourceVersion: "1"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}}
	if errs := kindtest.Create(t, d, n); len(errs) > 0 {
		t.Fatal(errs)
	}
	if n.Status.Phase != corev1.NamespaceActive || !cmp.Equal(n.Spec.Finalizers, []corev1.FinalizerName{"kubernetes"}) || n.Labels["kubernetes.io/metadata.name"] != "ns" {
		t.Errorf("new namespace %+v", n)
	}
	same := n.DeepCopy()
	same.Spec.Finalizers = nil
	if errs := kindtest.Update(t, d, same, n); len(errs) > 0 || len(same.Spec.Finalizers) != 1 {
		t.Errorf("an update removed the finalizer: %v, %v", errs, same.Spec.Finalizers)
	}
	marked := n.DeepCopy()
	d.Strategy.PrepareForDelete(t.Context(), marked)
	if marked.Status.Phase != corev1.NamespaceTerminating || !d.Strategy.Held(marked) {
		t.Errorf("marked for deletion: phase %s, held %v", marked.Status.Phase, d.Strategy.Held(marked))
	}
	now := metav1.Now()
	marked.DeletionTimestamp = &now
	final := marked.DeepCopy()
	final.Spec.Finalizers = nil
	final.Status.Phase = corev1.NamespaceActive
	if errs := kindtest.UpdateSub(t, d, "finalize", final, marked); len(errs) > 0 || d.Strategy.Held(final) || final.Status.Phase != corev1.NamespaceTerminating {
		t.Errorf("finalized: %v, held %v, phase %s", errs, d.Strategy.Held(final), final.Status.Phase)
	}
}
