package node

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

// What a pod waits for is said in upstream's words.
func TestClaims(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u"}}
	now, yes := metav1.Now(), true
	claim := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "c"},
			Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "v"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}
		change(c)
		return c
	}
	volume := func(uid string) *corev1.PersistentVolume {
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}}
		if uid != "" {
			v.Spec.ClaimRef = &corev1.ObjectReference{UID: types.UID(uid)}
		}
		return v
	}
	same := func(*corev1.PersistentVolumeClaim) {}
	for name, c := range map[string]struct {
		objects   []runtime.Object
		ephemeral bool
		want      string
	}{
		"bound":         {[]runtime.Object{claim(same), volume("c")}, false, ""},
		"none":          {nil, false, `failed to fetch PVC from API server: persistentvolumeclaims "c" not found`},
		"not bound":     {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimPending })}, false, "PVC is not bound"},
		"names nothing": {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "" })}, false, "PVC has empty pvc.Spec.VolumeName"},
		"leaving":       {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &now })}, false, "PVC is being deleted"},
		"leaving, in use": {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) {
			c.DeletionTimestamp, c.Finalizers = &now, []string{pvcProtection}
		}), volume("c")}, false, ""},
		"no volume":        {[]runtime.Object{claim(same)}, false, `failed to fetch PV v from API server: persistentvolumes "v" not found`},
		"a free volume":    {[]runtime.Object{claim(same), volume("")}, false, "nil pv.Spec.ClaimRef"},
		"another's volume": {[]runtime.Object{claim(same), volume("x")}, false, "does not point to claim.UID c"},
		"not the pod's":    {[]runtime.Object{claim(same), volume("c")}, true, "PVC default/c was not created for pod default/p (pod is not owner)"},
		"the pod's": {[]runtime.Object{claim(func(c *corev1.PersistentVolumeClaim) {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u", Controller: &yes}}
		}), volume("c")}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := claims{fake.NewClientset(c.objects...)}.volume(t.Context(), pod, "c", c.ephemeral)
			switch {
			case c.want == "" && (err != nil || v == nil || v.Name != "v"):
				t.Errorf("got %v, %v", v, err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "error processing PVC default/c: ") || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
