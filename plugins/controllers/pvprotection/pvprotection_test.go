package pvprotection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/controllers/pvprotection"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestReconcile(t *testing.T) {
	const finalizer = "kubernetes.io/pv-protection"
	deleted := metav1.Time("2024-01-02T03:04:05Z")
	for _, tc := range []struct {
		name       string
		finalizers []string
		deleted    *metav1.Time
		phase      corev1.PersistentVolumePhase
		want       []string
	}{
		{"new", []string{finalizer}, nil, "Available", []string{finalizer}},
		{"older than the rule", nil, nil, "Bound", []string{finalizer}},
		{"deleted, bound", []string{finalizer}, &deleted, "Bound", []string{finalizer}},
		{"deleted, released", []string{finalizer, "a/b"}, &deleted, "Released", []string{"a/b"}},
		{"deleted, never bound", []string{finalizer}, &deleted, "", []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v", Finalizers: tc.finalizers, DeletionTimestamp: tc.deleted}}
			pv.Status.Phase = tc.phase
			s, err := sdktest.NewStore(pv)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sdktest.Open[*controller.Points](t, "pv-protection", "").Reconcile(s.Client(), controller.Request{Name: "v"}); err != nil {
				t.Fatal(err)
			}
			var got corev1.PersistentVolume
			// With its last finalizer a deleted object goes.
			switch err := s.Client().Get(&got, "", "v"); {
			case client.IsNotFound(err):
				got.Finalizers = []string{}
			case err != nil:
				t.Fatal(err)
			case tc.deleted != nil && len(got.Finalizers) == 0:
				t.Error("deleted, and held by nothing, it is still there")
			}
			if diff := cmp.Diff(tc.want, got.Finalizers); diff != "" {
				t.Errorf("finalizers (-want +got):\n%s", diff)
			}
		})
	}
}
