package autoscaling_test

import (
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestAutoscalerVersions(t *testing.T) {
	c := resource.NewCodec(resource.NewCatalog(kindtest.Table(t)))
	d := kindtest.Definition(t, "horizontalpodautoscalers.autoscaling")
	obj, gvk, _, err := c.DecodeRequest([]byte(`{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"h","namespace":"ns"},"spec":{"maxReplicas":3,"targetCPUUtilizationPercentage":60,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}}`), resource.JSON, nil, true)
	if err != nil || gvk.Version != "v1" {
		t.Fatal(gvk, err)
	}
	hub, err := c.Convert(obj, d.Hub().GroupVersion())
	if err != nil {
		t.Fatal(err)
	}
	if errs := kindtest.Create(t, d, hub); len(errs) > 0 {
		t.Fatal(errs)
	}
	if got := *hub.(*autoscalingv2.HorizontalPodAutoscaler).Spec.Metrics[0].Resource.Target.AverageUtilization; got != 60 {
		t.Errorf("target %d, want 60", got)
	}
	back, err := c.Convert(hub, schema.GroupVersion{Group: "autoscaling", Version: "v1"})
	if err != nil || *back.(*autoscalingv1.HorizontalPodAutoscaler).Spec.TargetCPUUtilizationPercentage != 60 {
		t.Errorf("v1: %+v, %v", back, err)
	}
}
