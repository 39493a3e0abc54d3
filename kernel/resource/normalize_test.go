package resource_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/resource"
)

// What comes out of EncodeCanonical is what Decode makes of its bytes.
func TestEncodeCanonical(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC))
	for name, p := range map[string]*corev1.Pod{
		"nothing": {},
		"empty": {
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}, Finalizers: []string{}, OwnerReferences: []metav1.OwnerReference{}},
			Spec: corev1.PodSpec{Volumes: []corev1.Volume{}, Affinity: &corev1.Affinity{}, Containers: []corev1.Container{
				{Args: []string{}, Env: []corev1.EnvVar{{Name: "e", ValueFrom: &corev1.EnvVarSource{}}}, Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{}}},
			}},
		},
		"times": {
			ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at, DeletionTimestamp: &at},
			Status:     corev1.PodStatus{StartTime: &at, Conditions: []corev1.PodCondition{{LastProbeTime: at}}},
		},
		"quantities": {Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"cpu": quantity.MustParse("0.5"), "memory": quantity.MustParse("1e3")}}},
	} {
		for _, shared := range []bool{false, true} {
			obj := p.DeepCopy()
			got, value, err := c.EncodeCanonical(pods(), obj, shared)
			if err != nil {
				t.Fatal(err)
			}
			want, err := c.Decode(pods(), value, 7)
			if err != nil {
				t.Fatal(err)
			}
			got.GetObjectKind().SetGroupVersionKind(pods().Hub())
			got.(*corev1.Pod).ResourceVersion = "7"
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, shared %t: (-read back +answered)\n%s", name, shared, diff)
			}
		}
	}
}

// Parts that an object shares with one of the cache are read by others at the
// same time: the race detector would see a write.
func TestEncodeCanonicalDoesNotWriteToWhatIsShared(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(newTable(t)))
	cached, _, err := c.EncodeCanonical(pods(), pod(), false)
	if err != nil {
		t.Fatal(err)
	}
	old := cached.(*corev1.Pod)
	before := old.DeepCopy()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			if diff := cmp.Diff(before, old); diff != "" {
				t.Errorf("changed:\n%s", diff)
				return
			}
		}
	}()
	for range 100 {
		next := *old // everything below is shared
		if _, _, err := c.EncodeCanonical(pods(), &next, true); err != nil {
			t.Fatal(err)
		}
	}
	<-done
}
