package sdktest_test

import (
	"testing"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	autoscalingv1 "github.com/pintle-io/pintle/sdk/api/autoscaling/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// TestScale: an object with replicas has a scale, by the name of its resource or its kind.
func TestScale(t *testing.T) {
	two := int32(2)
	s, err := sdktest.NewStore(configMap("web", nil), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"y": "2", "x": "1"}}}, Status: appsv1.DeploymentStatus{Replicas: 1}},
		&corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "old"}, Spec: corev1.ReplicationControllerSpec{Replicas: &two, Selector: map[string]string{"k": "v"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	for resource, n := range map[string]int32{"apps/v1/deployments": 3, client.ByKind("apps/v1beta1", "Deployment"): 3} {
		sc, err := c.GetScale(resource, "a", "web")
		if err != nil || sc.Status.Replicas != 1 || sc.Status.Selector != "x=1,y=2" {
			t.Fatalf("%s: %+v, %v", resource, sc, err)
		}
		old := client.Clone(sc)
		sc.Spec.Replicas = n
		if err := c.UpdateScale(resource, sc); err != nil || sc.Spec.Replicas != n || sc.ResourceVersion == old.ResourceVersion {
			t.Errorf("%s: scaled: %+v, %v", resource, sc, err)
		}
		if err := c.UpdateScale(resource, old); !client.IsConflict(err) {
			t.Errorf("%s: scaled by what has changed: %v", resource, err)
		}
		sc.Spec.Replicas = -1
		if err := c.UpdateScale(resource, sc); !client.IsInvalid(err) {
			t.Errorf("%s: negative: %v", resource, err)
		}
	}
	var d appsv1.Deployment
	if err := c.Get(&d, "a", "web"); err != nil || *d.Spec.Replicas != 3 || d.Status.Replicas != 1 {
		t.Errorf("the object: %v, %v", d, err)
	}
	if sc, err := c.GetScale(client.ByKind("v1", "ReplicationController"), "a", "old"); err != nil || sc.Spec.Replicas != 2 || sc.Status.Selector != "k=v" {
		t.Errorf("of the core group: %+v, %v", sc, err)
	}
	if _, err := c.GetScale("v1/configmaps", "a", "web"); !client.IsUnsupported(err) {
		t.Errorf("of what has none: %v", err)
	}
	if _, err := c.GetScale("apps/v1/deployments", "a", "gone"); !client.IsNotFound(err) {
		t.Errorf("of nothing: %v", err)
	}
	s.Forbidden = []string{"apps/v1/deployments/scale"}
	if _, err := c.GetScale(client.ByKind("apps/v1", "Deployment"), "a", "web"); !client.IsForbidden(err) {
		t.Errorf("of what may not be read: %v", err)
	}
	if err := c.UpdateScale("apps/v1/deployments", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}}); !client.IsForbidden(err) {
		t.Errorf("scaled by who may not: %v", err)
	}
}
