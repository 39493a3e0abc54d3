package pvcprotection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/controllers/pvcprotection"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

const finalizer = "kubernetes.io/pvc-protection"

func pod(name, node string, v corev1.Volume) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: "uid-of-" + name},
		Spec: corev1.PodSpec{NodeName: node, Volumes: []corev1.Volume{{Name: "other"}, v}}}
}

func claims(name string) corev1.Volume {
	return corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}
}

func TestReconcile(t *testing.T) {
	deleted := metav1.Time("2024-01-02T03:04:05Z")
	yes, none := true, int64(0)
	ephemeral := corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}
	ended := pod("web", "n", ephemeral)
	ended.DeletionTimestamp, ended.DeletionGracePeriodSeconds = &deleted, &none
	owned := []metav1.OwnerReference{{Kind: "Pod", Name: "web", UID: "uid-of-web", Controller: &yes}}
	for _, tc := range []struct {
		name       string
		claim      string
		owners     []metav1.OwnerReference
		finalizers []string
		deleted    *metav1.Time
		pods       []*corev1.Pod
		want       []string
	}{
		{"new", "c", nil, []string{finalizer}, nil, nil, []string{finalizer}},
		{"older than the rule", "c", nil, []string{"a/b"}, nil, nil, []string{"a/b", finalizer}},
		{"deleted, unused", "c", nil, []string{"a/b", finalizer}, &deleted, nil, []string{"a/b"}},
		{"deleted, others' pods", "c", nil, []string{finalizer}, &deleted, []*corev1.Pod{pod("p", "n", claims("d"))}, []string{}},
		{"deleted, used", "c", nil, []string{finalizer}, &deleted, []*corev1.Pod{pod("p", "n", claims("c"))}, []string{finalizer}},
		{"deleted, wanted by a pod without a node", "c", nil, []string{finalizer}, &deleted, []*corev1.Pod{pod("p", "", claims("c"))}, []string{}},
		{"an ephemeral volume's", "web-data", owned, []string{finalizer}, &deleted, []*corev1.Pod{pod("web", "n", ephemeral)}, []string{finalizer}},
		{"of its name only", "web-data", nil, []string{finalizer}, &deleted, []*corev1.Pod{pod("web", "n", ephemeral)}, []string{}},
		{"an ephemeral volume's, whose pod has ended", "web-data", owned, []string{finalizer}, &deleted, []*corev1.Pod{ended}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := sdktest.NewStore(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: tc.claim,
				Finalizers: tc.finalizers, DeletionTimestamp: tc.deleted, OwnerReferences: tc.owners}})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range tc.pods {
				if err := s.Client().Create(p); err != nil {
					t.Fatal(err)
				}
			}
			c := sdktest.Open[*controller.Points](t, "pvc-protection", "")
			if _, err := c.Reconcile(s.Client(), controller.Request{Namespace: "ns", Name: tc.claim}); err != nil {
				t.Fatal(err)
			}
			var got corev1.PersistentVolumeClaim
			// With its last finalizer a deleted object goes.
			switch err := s.Client().Get(&got, "ns", tc.claim); {
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

// A claim is looked at again when a pod that used it goes.
func TestMap(t *testing.T) {
	p := pod("web", "n", claims("c"))
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}})
	for _, w := range sdktest.Open[*controller.Points](t, "pvc-protection", "").Watches[1:] {
		got := w.Map.Func(sdktest.Value(t, p))
		if diff := cmp.Diff([]controller.Request{{Namespace: "ns", Name: "c"}, {Namespace: "ns", Name: "web-data"}}, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	}
}
