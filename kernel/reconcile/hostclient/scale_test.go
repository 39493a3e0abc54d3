package hostclient_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/registry"
	lightautoscaling "github.com/pintle-io/pintle/sdk/api/autoscaling/v1"
	lightmeta "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
)

// TestScale: any kind that has a scale is read and scaled by it, built-in and custom, by
// the name of its resource or by a reference; what has none is told from what is not there.
func TestScale(t *testing.T) {
	b := newBench(t)
	b.define(t)
	zero, labels := int32(0), map[string]string{"app": "web"}
	if _, err := b.Create(t.Context(), registry.Target{Resource: appsv1.SchemeGroupVersion.WithResource("deployments"), Namespace: "default"}, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: &zero, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{RestartPolicy: "Always", DNSPolicy: "ClusterFirst", Containers: []corev1.Container{
				{Name: "c", Image: "i", ImagePullPolicy: "Always", TerminationMessagePolicy: "File"}}}}}}, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	custom := &counted{Metadata: lightmeta.ObjectMeta{Namespace: "default", Name: "web"}, Spec: size{N: 2}}
	if err := b.c.Create(custom); err != nil {
		t.Fatal(err)
	}
	if err := b.c.Patch(custom, client.Patch{Subresource: "status", Data: map[string]any{"status": size{N: 1, Pods: "app=custom"}}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		resource string
		want     lightautoscaling.Scale
	}{
		{"apps/v1/deployments", lightautoscaling.Scale{Status: lightautoscaling.ScaleStatus{Selector: "app=web"}}},
		{client.ByKind("apps/v1beta1", "Deployment"), lightautoscaling.Scale{Spec: lightautoscaling.ScaleSpec{Replicas: 3}, Status: lightautoscaling.ScaleStatus{Selector: "app=web"}}},
		{"free.example/v1/gadgets", lightautoscaling.Scale{Spec: lightautoscaling.ScaleSpec{Replicas: 2}, Status: lightautoscaling.ScaleStatus{Replicas: 1, Selector: "app=custom"}}},
		{client.ByKind("free.example/v1", "Gadget"), lightautoscaling.Scale{Spec: lightautoscaling.ScaleSpec{Replicas: 5}, Status: lightautoscaling.ScaleStatus{Replicas: 1, Selector: "app=custom"}}},
	} {
		t.Run(tt.resource, func(t *testing.T) {
			got, err := b.c.GetScale(tt.resource, "default", "web")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, lightautoscaling.Scale{Spec: got.Spec, Status: got.Status}); d != "" || got.Kind != "Scale" || got.UID == "" {
				t.Errorf("of kind %q and uid %q (-want +got):\n%s", got.Kind, got.UID, d)
			}
			old := client.Clone(got)
			got.Spec.Replicas += 3
			if err := b.c.UpdateScale(tt.resource, got); err != nil || got.Spec.Replicas != tt.want.Spec.Replicas+3 || got.ResourceVersion == old.ResourceVersion {
				t.Errorf("scaled to %d at %s: %v", got.Spec.Replicas, got.ResourceVersion, err)
			}
			if again, err := b.c.GetScale(tt.resource, "default", "web"); err != nil || again.Spec.Replicas != tt.want.Spec.Replicas+3 {
				t.Errorf("read after the write: %+v, %v", again, err)
			}
			if err := b.c.UpdateScale(tt.resource, old); !client.IsConflict(err) {
				t.Errorf("an old state: %v, want a conflict", err)
			}
			got.Spec.Replicas = -1
			if err := b.c.UpdateScale(tt.resource, got); !client.IsInvalid(err) {
				t.Errorf("negative: %v, want invalid", err)
			}
			if _, err := b.c.GetScale(tt.resource, "default", "none"); !client.IsNotFound(err) {
				t.Errorf("no such object: %v, want not found", err)
			}
		})
	}
	for name, is := range map[string]func(error) bool{"v1/configmaps": client.IsUnsupported, client.ByKind("v1", "Nothing"): client.IsUnsupported, client.ByKind("apps/v1", "DaemonSet"): client.IsUnsupported, "example.com/v1/none": client.IsNotFound} {
		if _, err := b.c.GetScale(name, "default", "web"); !is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.config.Allow = func(verb string, at registry.Target) error {
		if at.Resource.Resource == "deployments" && at.Subresource == "" || at.Subresource == "scale" && verb == "get" && at.Namespace == "default" {
			return nil
		}
		return wire.Errorf(wire.KindForbidden, "no")
	}
	got, err := b.c.GetScale("apps/v1/deployments", "default", "web")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.c.UpdateScale("apps/v1/deployments", got); !client.IsForbidden(err) {
		t.Errorf("who may update the object, but not its scale: %v, want forbidden", err)
	}
}

// counted is a gadget that has a scale.
type counted struct {
	Metadata lightmeta.ObjectMeta `json:"metadata"`
	Spec     size                 `json:"spec"`
	Status   size                 `json:"status"`
}

type size struct {
	N    int    `json:"n"`
	Pods string `json:"pods,omitempty"`
}

func (*counted) APIResource() string { return "free.example/v1/gadgets" }
