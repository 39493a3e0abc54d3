package volume_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume"
	"github.com/pintle-io/pintle/node/volume/driver"
	"github.com/pintle-io/pintle/node/volume/local"
)

// A persistent volume that is not for this node is refused in upstream's words; which
// one a pod has is known, to later agents too, until the pod's volumes are gone.
func TestPersistent(t *testing.T) {
	v := &corev1.PersistentVolume{}
	v.Name, v.Spec.Local = "pvc-1", &corev1.LocalVolumeSource{Path: t.TempDir()}
	why := errors.New("no matching NodeSelectorTerms")
	cfg := volume.Config{Root: filepath.Join(t.TempDir(), "pods [1]"), Drivers: []driver.Driver{local.Driver{}}, Node: func() *podspec.Node { return &podspec.Node{} },
		Claim: func(context.Context, *corev1.Pod, string, bool) (*corev1.PersistentVolume, error) { return v, nil },
		Fits:  func(context.Context, *corev1.PersistentVolume) error { return why }}
	m := volume.New(cfg)
	has := func(m *volume.Manager, name string, want bool) {
		t.Helper()
		if got, err := m.Has(name); got != want || err != nil {
			t.Errorf("has %s: %v, %v", name, got, err)
		}
	}
	p := pod(vol("data", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}))
	want := `MountVolume.NodeAffinity check failed for volume "pvc-1" : no matching NodeSelectorTerms`
	if _, err := m.Prepare(t.Context(), p); err == nil || err.Error() != want || !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	has(m, "pvc-1", false)
	if m.Known(p, "data") {
		t.Error("known before it is made")
	}
	why = nil
	if _, err := m.Prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	why = errors.New("the node's labels have changed") // which takes nothing from a pod that has it
	later := volume.New(cfg)
	if _, err := later.Prepare(t.Context(), p); err != nil {
		t.Error(err)
	}
	has(later, "pvc-1", true)
	has(later, "pvc-2", false)
	has(later, "*", false)
	if !later.Known(p, "data") {
		t.Error("not known")
	}
	if err := later.TearDown(t.Context(), p.UID); err != nil {
		t.Fatal(err)
	}
	has(later, "pvc-1", false)
}
