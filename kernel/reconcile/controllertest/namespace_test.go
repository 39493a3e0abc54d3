package controllertest_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What would let its dependents go, or wait for them, is deleted with its namespace like
// all else: no garbage collector is asked.
func TestNamespaceWithFinalizersOfGarbageCollection(t *testing.T) {
	c := newCluster(t, nativeHost(t), "namespace")
	c.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
	for name, finalizer := range map[string]string{"orphaning": metav1.FinalizerOrphanDependents, "waiting": metav1.FinalizerDeleteDependents} {
		c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, Finalizers: []string{finalizer}}})
	}
	c.mustDelete(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, "")
	eventually(t, "gone", func() string {
		return all(equal("namespace", get[corev1.Namespace](t, c, "team") == nil, true), equal("left", len(list[corev1.ConfigMap](t, c, "team")), 0))
	})
}
