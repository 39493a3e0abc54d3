package plan_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/state"
)

// TestReplace: an instance that is to be replaced is ended, and its successor
// starts at once, whatever the policy says of its exit code and however often it
// crashed before.
func TestReplace(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	pod := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyOnFailure, Containers: []corev1.Container{{Name: "app"}}}}
	c := state.Container{ID: "one", Name: "app", SandboxID: "sb", Phase: state.Running, Replace: true, Restarts: 3, BackOff: 40 * time.Second,
		StartedAt: now.Add(-time.Minute)}
	next := func(c state.Container) plan.Plan {
		return plan.Next(plan.Input{Pod: pod, Now: now, Busy: func(string) bool { return false },
			Health:   func(string) plan.Health { return plan.Health{Started: true} },
			Observed: &state.Pod{Sandboxes: []state.Sandbox{{ID: "sb", Ready: true}}, Containers: []state.Container{c}}})
	}
	p := next(c)
	if len(p.Kills) != 1 || p.Kills[0].ID != "one" || p.Kills[0].Message != "Container app resize requires restart" || !p.Kills[0].Running || len(p.Starts) > 0 {
		t.Errorf("while it runs: %+v", p)
	}
	c.Phase, c.FinishedAt = state.Exited, now
	for _, code := range []int32{0, 143} {
		c.ExitCode = code
		p = next(c)
		if len(p.Starts) != 1 || p.Starts[0].Restarts != 4 || p.Starts[0].BackOff != c.BackOff || p.Outcome != plan.Living {
			t.Errorf("after exit code %d: %+v", code, p)
		}
	}
	c.Replace, c.ExitCode = false, 0
	if p = next(c); p.Outcome != plan.Succeeded {
		t.Errorf("one that ended by itself: %+v", p)
	}
}

// TestOwed: a container that is ended for a failed probe is started again unless
// it is never restarted, though its process takes the signal for a reason to
// succeed; it waits like one that crashed.
func TestOwed(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	never := corev1.ContainerRestartPolicyNever
	for name, tc := range map[string]struct {
		pod         corev1.RestartPolicy
		container   *corev1.ContainerRestartPolicy
		mustRestart bool
	}{
		"always":                    {pod: corev1.RestartPolicyAlways, mustRestart: true},
		"on failure":                {pod: corev1.RestartPolicyOnFailure, mustRestart: true},
		"never":                     {pod: corev1.RestartPolicyNever},
		"never, by the container's": {pod: corev1.RestartPolicyOnFailure, container: &never},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: tc.pod, Containers: []corev1.Container{{Name: "app", RestartPolicy: tc.container}}}}
			c := state.Container{ID: "one", Name: "app", SandboxID: "sb", Phase: state.Running, Restarts: 3, BackOff: 40 * time.Second, StartedAt: now.Add(-time.Minute)}
			next := func(now time.Time) plan.Plan {
				return plan.Next(plan.Input{Pod: pod, Now: now, Busy: func(string) bool { return false },
					Health:   func(string) plan.Health { return plan.Health{Started: true, Fault: "failed liveness probe"} },
					Observed: &state.Pod{Sandboxes: []state.Sandbox{{ID: "sb", Ready: true}}, Containers: []state.Container{c}}})
			}
			p := next(now)
			if len(p.Kills) != 1 || p.Kills[0].MustRestart != tc.mustRestart {
				t.Fatalf("while it runs: %+v", p)
			}
			c.Phase, c.FinishedAt, c.MustRestart = state.Exited, now, p.Kills[0].MustRestart
			if p = next(now); tc.mustRestart && (len(p.Starts) > 0 || p.Waiting["app"].Reason != "CrashLoopBackOff" || p.Outcome != plan.Living) {
				t.Errorf("at once: %+v", p)
			}
			if p = next(now.Add(time.Minute)); tc.mustRestart && (len(p.Starts) != 1 || p.Starts[0].Restarts != 4) || !tc.mustRestart && (len(p.Starts) > 0 || p.Outcome != plan.Succeeded) {
				t.Errorf("later: %+v", p)
			}
		})
	}
}
