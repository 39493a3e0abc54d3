package executor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

func newStarter(rt *recorded, mounts cri.ImageMounts) (*Starter, *record.FakeRecorder) {
	f := record.NewFakeRecorder(100)
	events := Events{Recorder: f}
	return &Starter{Runtime: rt, Volumes: rt, Events: events, Slots: make(Slots, 1), Groups: Groups{System: &cgroup.System{}}, Log: slog.New(slog.DiscardHandler),
		Images: &Images{Puller: image.New(image.Config{Runtime: rt}), Mounts: mounts, Events: events},
		Hooks:  &Hooks{Exec: rt.Exec, NodeIPs: func() []string { return nil }, Clock: clock.RealClock{}},
		Node:   func() *podspec.Node { return &podspec.Node{Name: "n"} }, Services: func() []*corev1.Service { return nil }}, f
}

// TestStart: what is asked of the runtime for an instance, in which order, and
// with which reason and events it ends where a call fails.
func TestStart(t *testing.T) {
	never := func(p *corev1.Pod) { p.Spec.Containers[0].ImagePullPolicy = corev1.PullNever }
	hooked := func(p *corev1.Pod) {
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"hook"}}}}
	}
	imaged := func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "data:1"}}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}
	}
	whole := cri.ImageMounts{Runtime: "containerd 2.2", Whole: true}
	for name, c := range map[string]struct {
		change  func(*corev1.Pod)
		present bool
		mounts  cri.ImageMounts
		replace string
		fails   string
		exec    error
		want    []string
		reason  string
		events  []string // beginnings
	}{
		"of an image that is there": {present: true, want: []string{"mounts", "create app in s", "start made"}, events: []string{"Normal Pulled Container image", "Normal Created", "Normal Started"}},
		"of one that is pulled":     {want: []string{"pull img:1", "mounts", "create app in s", "start made"}, events: []string{"Normal Pulling", "Normal Pulled Successfully", "Normal Created", "Normal Started"}},
		"of one that is not": {fails: "pull img:1", want: []string{"pull img:1"}, reason: image.ErrImagePull,
			events: []string{"Normal Pulling", "Warning Failed Failed to pull", "Warning Failed Error: ErrImagePull"}},
		"of one that must be there": {change: never, reason: image.ErrImageNeverPull, events: []string{"Warning Failed Container image", "Warning Failed Error: ErrImageNeverPull"}},
		"in place of another":       {present: true, replace: "old", want: []string{"remove old", "mounts", "create app in s", "start made"}, events: []string{"Normal Pulled", "Normal Created", "Normal Started"}},
		"which does not go":         {present: true, replace: "old", fails: "remove old", want: []string{"remove old"}, reason: createError},
		"without its mounts":        {present: true, fails: "mounts", want: []string{"mounts"}, reason: createConfigError, events: []string{"Normal Pulled", "Warning Failed Error: no answer"}},
		"that is not created":       {present: true, fails: "create app in s", want: []string{"mounts", "create app in s"}, reason: createError, events: []string{"Normal Pulled", "Warning Failed Error: no answer"}},
		"that does not start": {present: true, fails: "start made", want: []string{"mounts", "create app in s", "start made"}, reason: runError,
			events: []string{"Normal Pulled", "Normal Created", "Warning Failed Error: no answer"}},
		"with a hook": {change: hooked, present: true, want: []string{"mounts", "create app in s", "start made", "exec hook in made"}, events: []string{"Normal Pulled", "Normal Created", "Normal Started"}},
		"whose hook fails": {change: hooked, present: true, exec: errRuntime, want: []string{"mounts", "create app in s", "start made", "exec hook in made", "stop made 30s"},
			events: []string{"Normal Pulled", "Normal Created", "Normal Started", "Warning FailedPostStartHook PostStartHook failed: no answer", "Normal Killing FailedPostStartHook"}},
		"with an image's volume":      {change: imaged, present: true, mounts: whole, want: []string{"pull data:1", "mounts", "create app in s", "start made"}, events: []string{"Normal Pulled Container image", "Normal Pulling", "Normal Pulled Successfully", "Normal Created", "Normal Started"}},
		"which the runtime can't use": {change: imaged, present: true, reason: createError, events: []string{"Normal Pulled", "Warning Failed Error: image volumes are not supported"}},
	} {
		t.Run(name, func(t *testing.T) {
			rt := &recorded{fails: c.fails, exec: c.exec, image: map[string]*cri.Image{}}
			if c.present {
				rt.image["img:1"] = &cri.Image{ID: "i"}
			}
			s, f := newStarter(rt, c.mounts)
			pod := somePod()
			if c.change != nil {
				c.change(pod)
			}
			fail := s.Start(t.Context(), lifecycle.StartContainer{Start: plan.Start{Name: "app", Replace: c.replace}, Pod: pod, Container: &pod.Spec.Containers[0], Sandbox: state.Sandbox{ID: "s"}})
			if (fail != nil) != (c.reason != "") || fail != nil && fail.Reason != c.reason {
				t.Errorf("got %+v, want reason %q", fail, c.reason)
			}
			rt.wants(t, c.want...)
			if got := told(f); !slices.EqualFunc(got, c.events, strings.HasPrefix) {
				t.Errorf("events %q, want %q", got, c.events)
			}
			if len(s.Slots) != 0 {
				t.Error("it keeps its slot")
			}
		})
	}
}

// TestStartBacksOff: a pull that failed is not tried before its time, which the
// failure tells, and nothing is told again.
func TestStartBacksOff(t *testing.T) {
	rt := &recorded{fails: "pull img:1", image: map[string]*cri.Image{}}
	s, f := newStarter(rt, cri.ImageMounts{})
	pod := somePod()
	a := lifecycle.StartContainer{Start: plan.Start{Name: "app"}, Pod: pod, Container: &pod.Spec.Containers[0]}
	first := s.Start(t.Context(), a)
	told(f)
	again := s.Start(t.Context(), a)
	if again == nil || again.Reason != image.ImagePullBackOff || again.Until.IsZero() || !again.Until.Equal(first.Until) {
		t.Errorf("got %+v after %+v", again, first)
	}
	rt.wants(t, "pull img:1")
	wantEvents(t, f)
}

// calledOff is a runtime that fails because it is called off in the middle.
type calledOff struct {
	*recorded
	cancel func()
}

func (c calledOff) CreateContainer(context.Context, string, *runtimeapi.ContainerConfig, *runtimeapi.PodSandboxConfig) (string, error) {
	c.cancel()
	return "", errRuntime
}

// TestStartCanceled: what was called off is no failure to tell of.
func TestStartCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	rt := &recorded{image: map[string]*cri.Image{"img:1": {ID: "i"}}}
	s, f := newStarter(rt, cri.ImageMounts{})
	s.Runtime = calledOff{rt, cancel}
	pod := somePod()
	fail := s.Start(ctx, lifecycle.StartContainer{Start: plan.Start{Name: "app"}, Pod: pod, Container: &pod.Spec.Containers[0], Sandbox: state.Sandbox{ID: "s"}})
	if fail == nil || !errors.Is(fail.Err, context.Canceled) {
		t.Errorf("got %+v", fail)
	}
	wantEvents(t, f, `Normal Pulled Container image "img:1" already present on machine`)
}

// TestHooks: each kind of hook, and what its failure says.
func TestHooks(t *testing.T) {
	exec := &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}
	for name, c := range map[string]struct {
		do   *corev1.LifecycleHandler
		exec error
		took time.Duration
		err  string
	}{
		"a command":            {do: exec},
		"one that exits":       {do: exec, exec: &cri.ExitError{Code: 3}, err: `command ["x"] exited with 3: "what it printed"`},
		"one that cannot run":  {do: exec, exec: errRuntime, err: "no answer"},
		"sleep":                {do: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}, took: 5 * time.Second},
		"sleep past the end":   {do: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 60}}, took: 10 * time.Second, err: context.DeadlineExceeded.Error()},
		"HTTP to no such port": {do: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Port: portNamed("none")}}, err: "none"},
		"nothing":              {do: &corev1.LifecycleHandler{}, err: "without a supported handler"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := &recorded{exec: c.exec}
				h := &Hooks{Exec: rt.Exec, NodeIPs: func() []string { return nil }, Clock: clock.RealClock{}}
				pod := somePod()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				err := h.run(ctx, pod, &pod.Spec.Containers[0], "id", c.do, nil)
				if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
			})
		})
	}
}

// TestHookAddress: an HTTP hook goes to the pod, where it has the node's network
// to the node.
func TestHookAddress(t *testing.T) {
	h := &Hooks{NodeIPs: func() []string { return []string{"192.0.2.1"} }}
	host := somePod(func(p *corev1.Pod) { p.Spec.HostNetwork = true })
	for want, got := range map[string]string{
		"10.0.0.1":  h.address(somePod(), []string{"10.0.0.1", "fd00::1"}),
		"192.0.2.1": h.address(host, []string{"10.0.0.1"}),
		"127.0.0.1": h.address(somePod(), nil),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
