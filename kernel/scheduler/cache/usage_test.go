package cache

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestUsageWhileResized: until a resize is over a pod takes the largest of
// what it asks for, was allocated and has.
func TestUsageWhileResized(t *testing.T) {
	cpu := func(s string) corev1.ResourceList {
		if s == "" {
			return nil
		}
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(s)}
	}
	for name, c := range map[string]struct {
		spec, allocated, has string
		infeasible           bool
		want                 int64
		plain                bool
	}{
		"not started":      {spec: "1", want: 1000, plain: true},
		"as it asks":       {spec: "1", allocated: "1000m", has: "1", want: 1000, plain: true},
		"waits for more":   {spec: "2", allocated: "1", has: "1", want: 2000},
		"more, under way":  {spec: "2", allocated: "2", has: "1", want: 2000},
		"less, under way":  {spec: "1", allocated: "1", has: "2", want: 2000},
		"less, waits":      {spec: "1", allocated: "2", has: "2", want: 2000},
		"will never be":    {spec: "5", allocated: "1", has: "1", infeasible: true, want: 1000},
		"asks for nothing": {want: 0, plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "a", Resources: corev1.ResourceRequirements{Requests: cpu(c.spec)}}}}}
			if c.has != "" || c.spec == "" {
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "a", AllocatedResources: cpu(c.allocated), Resources: &corev1.ResourceRequirements{Requests: cpu(c.has)}}}
			}
			if c.infeasible {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: corev1.PodReasonInfeasible}}
			}
			if whole := wholePod(p); whole != nil && UsageOf(whole).Requests.MilliCPU != c.want {
				t.Errorf("as a whole: got %d", UsageOf(whole).Requests.MilliCPU)
			}
			if got := UsageOf(p); got.Requests.MilliCPU != c.want || plain(p) != c.plain {
				t.Errorf("got %d, plain: %v", got.Requests.MilliCPU, plain(p))
			}
		})
	}
}

// wholePod asks for and has as a whole what p's container does; nil if that is
// nothing.
func wholePod(p *corev1.Pod) *corev1.Pod {
	if len(p.Status.ContainerStatuses) == 0 || len(p.Spec.Containers[0].Resources.Requests) == 0 {
		return nil
	}
	out := p.DeepCopy()
	out.Spec.Resources, out.Spec.Containers[0].Resources = &p.Spec.Containers[0].Resources, corev1.ResourceRequirements{}
	s := &p.Status.ContainerStatuses[0]
	out.Status.Resources, out.Status.AllocatedResources, out.Status.ContainerStatuses = s.Resources, s.AllocatedResources, nil
	return out
}
