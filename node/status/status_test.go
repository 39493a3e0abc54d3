package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/status"
)

var now = time.Unix(1_000_000, 0)

func pod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Generation: 4}, Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "first", Image: "i"}},
		Containers:     []corev1.Container{{Name: "app", Image: "a"}, {Name: "side", Image: "s"}}}}
}

func instance(name string, phase state.Phase, code int32) state.Container {
	return state.Container{ID: name + "-id", Name: name, SandboxID: "sb", Phase: phase, ExitCode: code, StartedAt: now, FinishedAt: now, ImageRef: "sha256:x"}
}

var sandbox = state.Sandbox{ID: "sb", Ready: true, IPs: []string{"10.244.0.5"}}

func find(t *testing.T, s corev1.PodStatus, kind corev1.PodConditionType) corev1.PodCondition {
	t.Helper()
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("no condition %s", kind)
	return corev1.PodCondition{}
}

func TestMake(t *testing.T) {
	done := instance("first", state.Exited, 0)
	for name, c := range map[string]struct {
		change   func(*status.Input)
		seen     []state.Container
		sandbox  bool
		phase    corev1.PodPhase
		app      string // state of the regular container, in short
		ready    corev1.ConditionStatus
		why      string
		initTrue bool
	}{
		"nothing yet":      {phase: corev1.PodPending, app: "waiting PodInitializing", ready: "False", why: "ContainersNotReady"},
		"initializing":     {sandbox: true, seen: []state.Container{instance("first", state.Running, 0)}, phase: corev1.PodPending, app: "waiting PodInitializing", ready: "False", why: "ContainersNotReady"},
		"init failed once": {sandbox: true, seen: []state.Container{instance("first", state.Exited, 1)}, phase: corev1.PodPending, app: "waiting PodInitializing", ready: "False", why: "ContainersNotReady"},
		"one started":      {sandbox: true, seen: []state.Container{instance("app", state.Running, 0), done}, phase: corev1.PodPending, app: "running", ready: "False", why: "ContainersNotReady", initTrue: true},
		"both run":         {sandbox: true, seen: []state.Container{instance("app", state.Running, 0), instance("side", state.Running, 0), done}, phase: corev1.PodRunning, app: "running", ready: "True", initTrue: true},
		"not ready": {change: func(in *status.Input) {
			in.Health = func(id string) status.Health { return status.Health{Started: true, Ready: id != "app-id"} }
		},
			sandbox: true, seen: []state.Container{instance("app", state.Running, 0), instance("side", state.Running, 0), done}, phase: corev1.PodRunning, app: "running", ready: "False", why: "ContainersNotReady", initTrue: true},
		"backing off": {change: func(in *status.Input) { in.Plan.Waiting = map[string]plan.Waiting{"app": {Reason: "CrashLoopBackOff"}} },
			sandbox: true, seen: []state.Container{instance("app", state.Exited, 2), instance("side", state.Running, 0), done}, phase: corev1.PodRunning, app: "waiting CrashLoopBackOff after 2", ready: "False", why: "ContainersNotReady", initTrue: true},
		"pull failed": {change: func(in *status.Input) { in.Failures = map[string]plan.Waiting{"app": {Reason: "ErrImagePull"}} },
			sandbox: true, seen: []state.Container{done}, phase: corev1.PodPending, app: "waiting ErrImagePull", ready: "False", why: "ContainersNotReady", initTrue: true},
		"succeeded": {change: func(in *status.Input) { in.Plan.Outcome, in.Plan.TearDown = plan.Succeeded, true },
			seen: []state.Container{instance("app", state.Exited, 0), instance("side", state.Exited, 0), done}, phase: corev1.PodSucceeded, app: "ended 0", ready: "False", why: "PodCompleted", initTrue: true},
		"over, but something still runs": {change: func(in *status.Input) { in.Plan.Outcome = plan.Failed },
			sandbox: true, seen: []state.Container{instance("app", state.Exited, 1), instance("side", state.Running, 0), done}, phase: corev1.PodRunning, app: "ended 1", ready: "False", why: "ContainersNotReady", initTrue: true},
		"deleted": {change: func(in *status.Input) { in.Ended = true },
			seen: []state.Container{instance("app", state.Exited, 143), instance("side", state.Exited, 0), done}, phase: corev1.PodFailed, app: "ended 143", ready: "False", why: "PodFailed", initTrue: true},
		"final stays final": {change: func(in *status.Input) { in.Pod.Status.Phase = corev1.PodFailed; in.Pod.Status.Reason = "Evicted" },
			phase: corev1.PodFailed, app: "waiting PodInitializing", ready: "False", why: "PodFailed"},
		"deadline": {change: func(in *status.Input) {
			in.Plan = plan.Plan{Outcome: plan.Failed, TearDown: true, Reason: "DeadlineExceeded"}
		},
			seen: []state.Container{instance("app", state.Exited, 137), instance("side", state.Exited, 137), done}, phase: corev1.PodFailed, app: "ended 137", ready: "False", why: "PodFailed", initTrue: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := status.Input{Pod: pod(), Observed: &state.Pod{Containers: c.seen}, Runtime: "containerd", NodeIPs: []string{"10.0.0.1"}, Now: now,
				Health: func(string) status.Health { return status.Health{Started: true, Ready: true} }}
			if c.sandbox {
				in.Observed.Sandboxes = []state.Sandbox{sandbox}
			}
			if c.change != nil {
				c.change(&in)
			}
			s := status.Make(in)
			if s.Phase != c.phase {
				t.Errorf("phase: got %s, want %s", s.Phase, c.phase)
			}
			if got := short(s.ContainerStatuses[0]); got != c.app {
				t.Errorf("container: got %q, want %q", got, c.app)
			}
			if got := find(t, s, corev1.PodReady); got.Status != c.ready || got.Reason != c.why || got.ObservedGeneration != 4 {
				t.Errorf("Ready: got %+v, want %s %s", got, c.ready, c.why)
			}
			if got := find(t, s, corev1.PodInitialized).Status == corev1.ConditionTrue; got != c.initTrue {
				t.Errorf("Initialized: got %t", got)
			}
			if got := find(t, s, corev1.PodReadyToStartContainers).Status == corev1.ConditionTrue; got != c.sandbox {
				t.Errorf("PodReadyToStartContainers: got %t", got)
			}
			if c.sandbox && s.PodIP != "10.244.0.5" {
				t.Errorf("address: got %s", s.PodIP)
			}
			if in.Plan.Reason != "" && s.Reason != in.Plan.Reason {
				t.Errorf("reason: got %s", s.Reason)
			}
		})
	}
}

func short(s corev1.ContainerStatus) string {
	code := func(t *corev1.ContainerStateTerminated) string {
		return string(rune('0'+t.ExitCode/100)) + string(rune('0'+t.ExitCode/10%10)) + string(rune('0'+t.ExitCode%10))
	}
	trim := func(c string) string {
		for len(c) > 1 && c[0] == '0' {
			c = c[1:]
		}
		return c
	}
	switch {
	case s.State.Running != nil:
		return "running"
	case s.State.Terminated != nil:
		return "ended " + trim(code(s.State.Terminated))
	case s.LastTerminationState.Terminated != nil:
		return "waiting " + s.State.Waiting.Reason + " after " + trim(code(s.LastTerminationState.Terminated))
	}
	return "waiting " + s.State.Waiting.Reason
}

// TestTransitionTimes: a condition's time moves only with its status, and
// conditions of others are left alone.
func TestTransitionTimes(t *testing.T) {
	in := status.Input{Pod: pod(), Observed: &state.Pod{Sandboxes: []state.Sandbox{sandbox}, Containers: []state.Container{
		instance("app", state.Running, 0), instance("side", state.Running, 0), instance("first", state.Exited, 0)}},
		Runtime: "containerd", Now: now, Health: func(string) status.Health { return status.Health{Started: true, Ready: true} }}
	in.Pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/lb"}}
	in.Pod.Status = status.Make(in)
	if got := find(t, in.Pod.Status, corev1.PodReady); got.Status != corev1.ConditionFalse || got.Reason != "ReadinessGatesNotReady" {
		t.Errorf("Ready: got %+v", got)
	}
	in.Pod.Status.Conditions = append(in.Pod.Status.Conditions, corev1.PodCondition{Type: "example.com/lb", Status: corev1.ConditionTrue})
	in.Now = now.Add(time.Minute)
	s := status.Make(in)
	if got := find(t, s, corev1.PodReady); got.Status != corev1.ConditionTrue || !got.LastTransitionTime.Time.Equal(in.Now) {
		t.Errorf("Ready: got %+v", got)
	}
	if got := find(t, s, corev1.ContainersReady); !got.LastTransitionTime.Time.Equal(now) {
		t.Errorf("ContainersReady moved: %+v", got)
	}
	if got := find(t, s, "example.com/lb"); got.Status != corev1.ConditionTrue {
		t.Errorf("gate: got %+v", got)
	}
}

// TestLostContainer: the runtime forgot an instance that the API knows.
func TestLostContainer(t *testing.T) {
	in := status.Input{Pod: pod(), Observed: &state.Pod{Sandboxes: []state.Sandbox{sandbox}}, Runtime: "containerd", Now: now}
	in.Pod.Spec.InitContainers = nil
	in.Pod.Status.ContainerStatuses = []corev1.ContainerStatus{
		{Name: "app", RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		{Name: "side", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}, Started: ptr.To(false)}}
	s := status.Make(in)
	if got := s.ContainerStatuses[0]; got.RestartCount != 3 || got.LastTerminationState.Terminated == nil || got.LastTerminationState.Terminated.Reason != "ContainerStatusUnknown" {
		t.Errorf("lost while running: got %+v", got)
	}
	if got := s.ContainerStatuses[1]; got.State.Terminated == nil || got.State.Terminated.ExitCode != 3 {
		t.Errorf("lost after its end: got %+v", got)
	}
}

// TestWaitingReasons: in a pod with init containers whatever has not been
// started waits for PodInitializing, which clients look for.
func TestWaitingReasons(t *testing.T) {
	first, second := corev1.Container{Name: "first", Image: "i"}, corev1.Container{Name: "second", Image: "i"}
	app, side := corev1.Container{Name: "app", Image: "a"}, corev1.Container{Name: "side", Image: "s"}
	for name, c := range map[string]struct {
		init    []corev1.Container
		seen    []state.Container
		sandbox bool
		want    string // reasons of what waits, in order
	}{
		"no init containers":     {want: "app ContainerCreating, side ContainerCreating"},
		"one of two was started": {seen: []state.Container{instance("app", state.Running, 0)}, sandbox: true, want: "side ContainerCreating"},
		"before the sandbox":     {init: []corev1.Container{first, second}, want: "first PodInitializing, second PodInitializing, app PodInitializing, side PodInitializing"},
		"the first fails": {init: []corev1.Container{first, second}, seen: []state.Container{instance("first", state.Exited, 1)}, sandbox: true,
			want: "second PodInitializing, app PodInitializing, side PodInitializing"},
		"made, not started": {init: []corev1.Container{first, second}, seen: []state.Container{instance("first", state.Created, 0)}, sandbox: true,
			want: "first PodInitializing, second PodInitializing, app PodInitializing, side PodInitializing"},
		"initialized": {init: []corev1.Container{first}, seen: []state.Container{instance("app", state.Running, 0), instance("first", state.Exited, 0)}, sandbox: true,
			want: "side PodInitializing"},
	} {
		t.Run(name, func(t *testing.T) {
			in := status.Input{Pod: pod(), Observed: &state.Pod{Containers: c.seen}, Now: now,
				Health: func(string) status.Health { return status.Health{Started: true, Ready: true} }}
			in.Pod.Spec.InitContainers, in.Pod.Spec.Containers = c.init, []corev1.Container{app, side}
			if c.sandbox {
				in.Observed.Sandboxes = []state.Sandbox{sandbox}
			}
			s := status.Make(in)
			var got []string
			for _, cs := range append(s.InitContainerStatuses, s.ContainerStatuses...) {
				if w := cs.State.Waiting; w != nil {
					got = append(got, cs.Name+" "+w.Reason)
				}
			}
			if got := strings.Join(got, ", "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestRestartingCondition: only pods have it one of whose containers may
// restart all of them.
func TestRestartingCondition(t *testing.T) {
	in := status.Input{Pod: pod(), Observed: &state.Pod{}, Now: now, Plan: plan.Plan{Restarting: true}}
	for _, c := range status.Make(in).Conditions {
		if c.Type == corev1.AllContainersRestarting {
			t.Error("a pod without such a rule has the condition")
		}
	}
	in.Pod.Spec.Containers[0].RestartPolicyRules = []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestartAllContainers}}
	if got := find(t, status.Make(in), corev1.AllContainersRestarting); got.Status != corev1.ConditionTrue || got.Reason != "RestartAllContainersStarted" {
		t.Errorf("while they restart: got %+v", got)
	}
	in.Plan.Restarting = false
	if got := find(t, status.Make(in), corev1.AllContainersRestarting); got.Status != corev1.ConditionFalse {
		t.Errorf("afterwards: got %+v", got)
	}
}

// TestOthersFieldsStay: a status that lacks what the scheduler and the claims'
// controller wrote would remove it.
func TestOthersFieldsStay(t *testing.T) {
	p := pod()
	p.Status = corev1.PodStatus{
		NominatedNodeName:                    "n2",
		ResourceClaimStatuses:                []corev1.PodResourceClaimStatus{{Name: "gpu"}},
		ExtendedResourceClaimStatus:          &corev1.PodExtendedResourceClaimStatus{ResourceClaimName: "c"},
		NodeAllocatableResourceClaimStatuses: []corev1.NodeAllocatableResourceClaimStatus{{ResourceClaimName: "c"}},
	}
	s := status.Make(status.Input{Pod: p, Observed: &state.Pod{}, Now: now, Health: func(string) status.Health { return status.Health{} }})
	got := corev1.PodStatus{NominatedNodeName: s.NominatedNodeName, ResourceClaimStatuses: s.ResourceClaimStatuses,
		ExtendedResourceClaimStatus: s.ExtendedResourceClaimStatus, NodeAllocatableResourceClaimStatuses: s.NodeAllocatableResourceClaimStatuses}
	if diff := cmp.Diff(p.Status, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
