package controllertest_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry"
)

func newPod(ns, name string, change func(*corev1.PodSpec)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if change != nil {
		change(&p.Spec)
	}
	return p
}

func (c *cluster) tryCreate(t testing.TB, obj runtime.Object) error {
	t.Helper()
	tg := c.target(t, obj)
	tg.Name = ""
	_, err := c.Create(context.Background(), tg, obj, registry.WriteOptions{FieldManager: "test"})
	return err
}

// No pod is made for an account that is missing; the Deployment says why, and
// goes on when the account comes.
func TestMissingServiceAccount(t *testing.T) {
	c := newCluster(t, nativeHost(t), append([]string{"service-account", "default-service-account"}, workload...)...)
	startNodes(t, c, "a")
	err := c.tryCreate(t, newPod(namespace, "p", func(s *corev1.PodSpec) { s.ServiceAccountName = "later" }))
	if want := `pods "p" is forbidden: error looking up service account default/later: serviceaccount "later" not found`; !apierrors.IsForbidden(err) || err.Error() != want {
		t.Errorf("create: %v, want %s", err, want)
	}
	d := newDeployment("web", 2)
	d.Spec.Template.Spec.ServiceAccountName = "later"
	c.mustCreate(t, d)
	eventually(t, "ReplicaFailure", func() string {
		for _, x := range get[appsv1.Deployment](t, c, "web").Status.Conditions {
			if x.Type == "ReplicaFailure" && x.Status == corev1.ConditionTrue {
				if strings.Contains(x.Message, `error looking up service account default/later: serviceaccount "later" not found`) && strings.HasPrefix(x.Message, `pods "web-`) {
					return ""
				}
				return x.Message
			}
		}
		return "no condition"
	})
	c.mustCreate(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "later"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "hub"}}})
	eventually(t, "pods", func() string { return rolledOut(t, c, "web", 2) })
	for _, p := range list[corev1.Pod](t, c, namespace) {
		if len(p.Spec.ImagePullSecrets) != 1 || p.Spec.ImagePullSecrets[0].Name != "hub" {
			t.Errorf("pull secrets of %s: %v", p.Name, p.Spec.ImagePullSecrets)
		}
	}
}

// The account of a new namespace comes a moment later than the namespace.
func TestPodInNewNamespace(t *testing.T) {
	c := newCluster(t, nativeHost(t), "service-account", "default-service-account")
	for _, ns := range []string{"one", "two", "three"} {
		c.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
		if err := c.tryCreate(t, newPod(ns, "p", nil)); err != nil {
			t.Error(err)
		}
	}
}

func TestRuntimeClass(t *testing.T) {
	c := newCluster(t, nativeHost(t), "runtime-class")
	name := "heavy"
	classed := newPod(namespace, "p", func(s *corev1.PodSpec) { s.RuntimeClassName = &name })
	if err, want := c.tryCreate(t, classed), `pods "p" is forbidden: pod rejected: RuntimeClass "heavy" not found`; err == nil || err.Error() != want {
		t.Errorf("create: %v, want %s", err, want)
	}
	c.mustCreate(t, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Handler: "h",
		Overhead:   &nodev1.Overhead{PodFixed: corev1.ResourceList{"cpu": resource.MustParse("250m")}},
		Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"sandbox": "yes"}}})
	c.mustCreate(t, classed)
	got := get[corev1.Pod](t, c, "p").Spec
	if q := got.Overhead["cpu"]; q.String() != "250m" || got.NodeSelector["sandbox"] != "yes" {
		t.Errorf("overhead %v, node selector %v", got.Overhead, got.NodeSelector)
	}
}

// What is used stays until it is used no more.
func TestStorageProtection(t *testing.T) {
	c := newCluster(t, nativeHost(t), "storage-protection", "pvc-protection", "pv-protection")
	mode := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	storage := corev1.ResourceList{"storage": resource.MustParse("1Gi")}
	pvc := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "c"},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: mode, Resources: corev1.VolumeResourceRequirements{Requests: storage}}}
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: corev1.PersistentVolumeSpec{AccessModes: mode, Capacity: storage,
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/v"}}}}
	pod := newPod(namespace, "p", func(s *corev1.PodSpec) {
		s.NodeName = "a"
		s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}
	})
	for _, o := range []runtime.Object{pvc, pv, pod} {
		c.mustCreate(t, o)
	}
	if got := get[corev1.PersistentVolumeClaim](t, c, "c").Finalizers; !slices.Equal(got, []string{"kubernetes.io/pvc-protection"}) {
		t.Errorf("finalizers of the claim: %v", got)
	}
	update(t, c, "v", "status", func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound })
	c.mustDelete(t, pvc, "")
	c.mustDelete(t, pv, "")
	// A controller that has nothing to do leaves no trace: ask it about another
	// claim and volume, which go, before looking at these.
	other, spare := pvc.DeepCopy(), pv.DeepCopy()
	other.Name, spare.Name = "other", "spare"
	c.mustCreate(t, other)
	c.mustCreate(t, spare)
	c.mustDelete(t, other, "")
	c.mustDelete(t, spare, "")
	eventually(t, "unused ones are gone", func() string {
		return all(equal("claim", get[corev1.PersistentVolumeClaim](t, c, "other") == nil, true), equal("volume", get[corev1.PersistentVolume](t, c, "spare") == nil, true))
	})
	if get[corev1.PersistentVolumeClaim](t, c, "c") == nil || get[corev1.PersistentVolume](t, c, "v") == nil {
		t.Fatal("what is used is gone")
	}
	update(t, c, "v", "status", func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeReleased })
	now := int64(0)
	if _, err := c.Delete(context.Background(), c.target(t, pod), metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "released", func() string {
		return all(equal("claim", get[corev1.PersistentVolumeClaim](t, c, "c") == nil, true), equal("volume", get[corev1.PersistentVolume](t, c, "v") == nil, true))
	})
}
