package volumeexpand

import (
	"slices"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestReconcile(t *testing.T) {
	waits := "c ExternalExpanding: waiting for an external controller to expand this PVC"
	for name, c := range map[string]struct {
		asks, has, uid string
		edit           func(*corev1.PersistentVolume)
		note, resizer  string
	}{
		"content":          {"1Gi", "1Gi", "u", nil, "", ""},
		"more than asked":  {"1Gi", "2Gi", "u", nil, "", ""},
		"grows":            {"2Gi", "1Gi", "u", nil, waits, ""},
		"another's volume": {"2Gi", "1Gi", "other", nil, "", ""},
		"file system to grow": {"1Gi", "1Gi", "u", func(v *corev1.PersistentVolume) {
			v.Annotations = map[string]string{annPreResize: "1Gi"}
		}, waits, ""},
		"a driver took over": {"2Gi", "1Gi", "u", func(v *corev1.PersistentVolume) {
			v.Spec.GCEPersistentDisk = &corev1.GCEPersistentDiskVolumeSource{}
		}, "c ExternalExpanding: CSI migration enabled for kubernetes.io/gce-pd; waiting for external resizer to expand the pvc", "pd.csi.storage.gke.io"},
	} {
		t.Run(name, func(t *testing.T) {
			cl, v := &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}
			cl.Namespace, cl.Name, cl.UID, cl.Spec.VolumeName = "default", "c", "u", "v"
			cl.Spec.Resources.Requests = corev1.ResourceList{"storage": resource.Quantity(c.asks)}
			cl.Status.Capacity = corev1.ResourceList{"storage": resource.Quantity(c.has)}
			v.Name, v.Spec.ClaimRef = "v", &corev1.ObjectReference{Namespace: "default", Name: "c", UID: c.uid}
			if c.edit != nil {
				c.edit(v)
			}
			s, err := sdktest.NewStore(cl, v)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "c"}); err != nil {
				t.Fatal(err)
			}
			if c.note == "" && len(s.Notes) > 0 || c.note != "" && !slices.Contains(s.Notes, c.note) {
				t.Errorf("events %q", s.Notes)
			}
			got := &corev1.PersistentVolumeClaim{}
			if err := s.Client().Get(got, "default", "c"); err != nil {
				t.Fatal(err)
			}
			if got.Annotations[annResizer] != c.resizer {
				t.Errorf("resizer %q, want %q", got.Annotations[annResizer], c.resizer)
			}
		})
	}
}
