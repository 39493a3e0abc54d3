package controllertest_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A class that is deleted stays while a claim names it, and goes when the claim names
// another.
func TestAttributesClassProtection(t *testing.T) {
	c := newCluster(t, nativeHost(t), "storage-protection", "vac-protection")
	class := func(name string) *storagev1.VolumeAttributesClass {
		return &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: name}, DriverName: "a.b/c", Parameters: map[string]string{"iops": "1"}}
	}
	gone := func(name string) func() string {
		return func() string {
			return equal(name+" is gone", get[storagev1.VolumeAttributesClass](t, c, name) == nil, true)
		}
	}
	for _, name := range []string{"fast", "slow", "unused"} {
		c.mustCreate(t, class(name))
	}
	fast, slow, storage := "fast", "slow", "disks"
	c.mustCreate(t, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "c"}, Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: &storage, VolumeAttributesClassName: &fast, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}}}})
	update(t, c, "c", "status", func(p *corev1.PersistentVolumeClaim) { p.Status.Phase = corev1.ClaimBound })
	c.mustDelete(t, class("fast"), "")
	// A controller that has nothing to do leaves no trace: it is asked about another
	// class, which goes, before this one is looked at.
	c.mustDelete(t, class("unused"), "")
	eventually(t, "an unused class", gone("unused"))
	if get[storagev1.VolumeAttributesClass](t, c, "fast") == nil {
		t.Fatal("a class that a claim names is gone")
	}
	update(t, c, "c", "", func(p *corev1.PersistentVolumeClaim) { p.Spec.VolumeAttributesClassName = &slow })
	eventually(t, "a class that is named no more", gone("fast"))
	if get[storagev1.VolumeAttributesClass](t, c, "slow") == nil {
		t.Error("a class that nobody deleted is gone")
	}
}
