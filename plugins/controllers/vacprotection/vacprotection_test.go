package vacprotection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/controllers/vacprotection"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// class is a VolumeAttributesClass; the light types have none.
type class struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
}

func (*class) APIResource() string                 { return "storage.k8s.io/v1/volumeattributesclasses" }
func (c *class) GetObjectMeta() *metav1.ObjectMeta { return &c.Metadata }

func claim(change func(*corev1.PersistentVolumeClaim)) client.Object {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c"}}
	change(c)
	return c
}

func TestReconcile(t *testing.T) {
	const finalizer = "kubernetes.io/vac-protection"
	deleted := metav1.Time("2024-01-02T03:04:05Z")
	fast, slow := "fast", "slow"
	for _, tc := range []struct {
		name       string
		finalizers []string
		deleted    *metav1.Time
		other      client.Object
		want       []string
	}{
		{"new", []string{finalizer}, nil, nil, []string{finalizer}},
		{"older than the rule", []string{"a/b"}, nil, nil, []string{"a/b", finalizer}},
		{"deleted, unused", []string{"a/b", finalizer}, &deleted, nil, []string{"a/b"}},
		{"deleted, others are used", []string{finalizer}, &deleted, claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &slow }), []string{}},
		{"deleted, a claim wants it", []string{finalizer}, &deleted, claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &fast }), []string{finalizer}},
		{"deleted, a claim has it", []string{finalizer}, &deleted, claim(func(c *corev1.PersistentVolumeClaim) { c.Status.CurrentVolumeAttributesClassName = &fast }), []string{finalizer}},
		{"deleted, a volume is being changed to it", []string{finalizer}, &deleted, claim(func(c *corev1.PersistentVolumeClaim) {
			c.Status.ModifyVolumeStatus = &corev1.ModifyVolumeStatus{TargetVolumeAttributesClassName: fast}
		}), []string{finalizer}},
		{"deleted, a volume has it", []string{finalizer}, &deleted, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: corev1.PersistentVolumeSpec{VolumeAttributesClassName: &fast}}, []string{finalizer}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := sdktest.NewStore(&class{metav1.ObjectMeta{Name: fast, Finalizers: tc.finalizers, DeletionTimestamp: tc.deleted}})
			if err != nil {
				t.Fatal(err)
			}
			if tc.other != nil {
				if err := s.Client().Create(tc.other); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := sdktest.Open[*controller.Points](t, "vac-protection", "").Reconcile(s.Client(), controller.Request{Name: fast}); err != nil {
				t.Fatal(err)
			}
			var got class
			// With its last finalizer a deleted object goes.
			switch err := s.Client().Get(&got, "", fast); {
			case client.IsNotFound(err):
				got.Metadata.Finalizers = []string{}
			case err != nil:
				t.Fatal(err)
			case tc.deleted != nil && len(got.Metadata.Finalizers) == 0:
				t.Error("deleted, and held by nothing, it is still there")
			}
			if diff := cmp.Diff(tc.want, got.Metadata.Finalizers); diff != "" {
				t.Errorf("finalizers (-want +got):\n%s", diff)
			}
		})
	}
}
