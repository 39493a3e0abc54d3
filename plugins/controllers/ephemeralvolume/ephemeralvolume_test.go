package ephemeralvolume

import (
	"slices"
	"strings"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func aPod(edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.UID = "default", "p", "uid-p"
	t := &corev1.PersistentVolumeClaimTemplate{}
	t.Labels, t.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	t.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{"ReadWriteOnce"}
	t.Spec.Resources.Requests = corev1.ResourceList{"storage": "1Gi"}
	e, scratch := corev1.Volume{Name: "data"}, corev1.Volume{Name: "scratch"}
	e.Ephemeral = &corev1.EphemeralVolumeSource{VolumeClaimTemplate: t}
	scratch.EmptyDir = &corev1.EmptyDirVolumeSource{}
	p.Spec.Volumes = []corev1.Volume{scratch, e}
	for _, f := range edit {
		f(p)
	}
	return p
}

func TestReconcile(t *testing.T) {
	foreign := &corev1.PersistentVolumeClaim{}
	foreign.Namespace, foreign.Name = "default", "p-data"
	mine := &corev1.PersistentVolumeClaim{}
	mine.Namespace, mine.Name = "default", "p-data"
	mine.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(aPod(), "v1", "Pod")}
	for name, c := range map[string]struct {
		objects []client.Object
		fails   string
		note    bool
		claim   bool
	}{
		"made":            {[]client.Object{aPod()}, "", false, true},
		"made before":     {[]client.Object{aPod(), mine}, "", false, true},
		"somebody else's": {[]client.Object{aPod(), foreign}, "PVC default/p-data was not created for pod default/p (pod is not owner)", true, true},
		"the pod is gone": {nil, "", false, false},
		"the pod is leaving": {[]client.Object{aPod(func(p *corev1.Pod) {
			at := metav1.Time("2026-01-01T00:00:00Z")
			p.DeletionTimestamp, p.Finalizers = &at, []string{"x"}
		})}, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sdktest.NewStore(c.objects...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = reconcile(s.Client(), controller.Request{Namespace: "default", Name: "p"})
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if want := "p FailedBinding: ephemeral volume data: " + c.fails; slices.Contains(s.Notes, want) != c.note {
				t.Errorf("events %q", s.Notes)
			}
			if slices.Contains(s.Keys(), "v1/persistentvolumeclaims/default/p-data") != c.claim {
				t.Errorf("stored %v", s.Keys())
			}
		})
	}
}

func TestClaimFor(t *testing.T) {
	s, err := sdktest.NewStore(aPod())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "p"}); err != nil {
		t.Fatal(err)
	}
	got := &corev1.PersistentVolumeClaim{}
	if err := s.Client().Get(got, "default", "p-data"); err != nil {
		t.Fatal(err)
	}
	o := metav1.ControllerOf(got)
	if got.Labels["a"] != "b" || got.Annotations["c"] != "d" || got.Spec.Resources.Requests["storage"] != "1Gi" ||
		o == nil || o.UID != "uid-p" || o.Kind != "Pod" || o.BlockOwnerDeletion == nil || !*o.BlockOwnerDeletion {
		t.Errorf("got %+v", got)
	}
}
