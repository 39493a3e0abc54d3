package status_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/status"
)

func list(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return out
}

func text(l corev1.ResourceList) string {
	out := ""
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		out += " -"
		if q, ok := l[name]; ok {
			out = out[:len(out)-1] + q.String()
		}
	}
	return out[1:]
}

// TestResources: a status says what an instance has, not what it should have.
func TestResources(t *testing.T) {
	allocated := corev1.ResourceRequirements{Requests: list("500m", "64Mi"), Limits: list("1", "128Mi")}
	made := &corev1.ResourceRequirements{Requests: list("100m", "32Mi"), Limits: list("200m", "32Mi")}
	for name, c := range map[string]struct {
		allocated       corev1.ResourceRequirements
		phase           state.Phase
		granted         *corev1.ResourceRequirements
		actual          *state.Limits
		requests, limit string
	}{
		"as it should be":          {allocated, state.Running, &allocated, &state.Limits{CPUShares: 512, CPUQuota: 100000, CPUPeriod: 100000, Memory: 128 << 20}, "500m 64Mi", "1 128Mi"},
		"not resized yet":          {allocated, state.Running, made, &state.Limits{CPUShares: 102, CPUQuota: 20000, CPUPeriod: 100000, Memory: 32 << 20}, "100m 32Mi", "200m 32Mi"},
		"a runtime that is silent": {allocated, state.Running, made, nil, "100m 32Mi", "200m 32Mi"},
		"somebody else changed it": {allocated, state.Running, &allocated, &state.Limits{CPUShares: 512, CPUQuota: 30000, CPUPeriod: 50000, Memory: 50 << 20}, "500m 64Mi", "600m 50Mi"},
		"nobody bounds it":         {allocated, state.Running, &allocated, &state.Limits{CPUShares: 512, CPUPeriod: 100000}, "500m 64Mi", "- -"},
		"below what the kernel can": {corev1.ResourceRequirements{Requests: list("1m", ""), Limits: list("5m", "")}, state.Running, nil,
			&state.Limits{CPUShares: 2, CPUQuota: 1000, CPUPeriod: 100000}, "1m -", "5m -"},
		"a limit to come": {allocated, state.Running, &corev1.ResourceRequirements{Requests: list("500m", "64Mi")},
			&state.Limits{CPUShares: 512, CPUPeriod: 100000}, "500m 64Mi", "- -"},
		"of another agent": {allocated, state.Running, nil, nil, "500m 64Mi", "1 128Mi"},
		"ended":            {allocated, state.Exited, made, &state.Limits{CPUShares: 102}, "500m 64Mi", "1 128Mi"},
		"asks for nothing": {corev1.ResourceRequirements{}, state.Running, &corev1.ResourceRequirements{}, &state.Limits{CPUShares: 2}, "- -", "- -"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod()
			p.Spec.Containers[0].Resources = c.allocated
			i := instance("app", c.phase, 0)
			i.Granted, i.Actual = c.granted, c.actual
			s := status.Make(status.Input{Pod: p, Observed: &state.Pod{Sandboxes: []state.Sandbox{sandbox}, Containers: []state.Container{i}}, Now: now,
				Health: func(string) status.Health { return status.Health{Started: true, Ready: true} }}).ContainerStatuses[0]
			if s.Resources == nil {
				t.Fatal("no resources: the API takes that for a node that cannot resize")
			}
			if got := text(s.AllocatedResources); got != text(c.allocated.Requests) {
				t.Errorf("allocated %s", got)
			}
			if r, l := text(s.Resources.Requests), text(s.Resources.Limits); r != c.requests || l != c.limit {
				t.Errorf("got %s / %s, want %s / %s", r, l, c.requests, c.limit)
			}
		})
	}
}

// TestWhole: a pod that has resources as a whole is told what it was allocated
// and has of them; others are not.
func TestWhole(t *testing.T) {
	p := pod()
	in := status.Input{Pod: p, Observed: &state.Pod{}, Now: now, Health: func(string) status.Health { return status.Health{} }}
	if s := status.Make(in); s.Resources != nil || s.AllocatedResources != nil {
		t.Errorf("of one that has none: %v %v", s.Resources, s.AllocatedResources)
	}
	p.Spec.Resources = &corev1.ResourceRequirements{Requests: list("2", "64Mi"), Limits: list("3", "64Mi")}
	p.Spec.Overhead = list("100m", "")
	in.Whole = &corev1.ResourceRequirements{Requests: list("1", "32Mi"), Limits: list("2", "32Mi")}
	s := status.Make(in)
	if got := text(s.AllocatedResources); got != "2 64Mi" {
		t.Errorf("allocated %s", got)
	}
	if r, l := text(s.Resources.Requests), text(s.Resources.Limits); r != "1 32Mi" || l != "2 32Mi" {
		t.Errorf("has %s / %s", r, l)
	}
}

// TestResizeConditions: they are the node's to set and to take away, and know
// of which generation they are.
func TestResizeConditions(t *testing.T) {
	p := pod()
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: "Deferred"}}
	in := status.Input{Pod: p, Observed: &state.Pod{}, Now: now, Health: func(string) status.Health { return status.Health{} },
		Resizing: &resize.Condition{Reason: "Error", Message: "m", Generation: 2, Since: now.Add(-time.Hour)}}
	s := status.Make(in)
	c := find(t, s, corev1.PodResizeInProgress)
	if c.Status != corev1.ConditionTrue || c.Reason != "Error" || c.ObservedGeneration != 2 || !c.LastTransitionTime.Time.Equal(now.Add(-time.Hour)) {
		t.Errorf("got %+v", c)
	}
	for _, c := range s.Conditions {
		if c.Type == corev1.PodResizePending {
			t.Error("what waits no more is still told")
		}
	}
	in.Ended = true
	for _, c := range status.Make(in).Conditions {
		if c.Type == corev1.PodResizeInProgress {
			t.Error("a pod that has ended is being resized")
		}
	}
}
