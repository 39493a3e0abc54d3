package pod_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/cri/critest"
	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/pod"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/volume"
	"github.com/pintle-io/pintle/node/volume/driver"
	"github.com/pintle-io/pintle/node/volume/emptydir"
)

// host is a node whose runtime keeps books but runs nothing, and whose time
// stands still unless it is moved.
type host struct {
	t       *testing.T
	runtime *critest.Runtime
	workers *pod.Workers
	client  *fake.Clientset
	clock   *testclock.FakeClock
	events  *record.FakeRecorder
	cfg     pod.Config
	stop    func()

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

// noSources has no ConfigMap and no Secret.
type noSources struct{}

func (noSources) ConfigMap(string, string) (*corev1.ConfigMap, error) { return nil, nil }
func (noSources) Secret(string, string) (*corev1.Secret, error)       { return nil, nil }
func (noSources) Hold(*corev1.Pod)                                    {}
func (noSources) Release(types.UID)                                   {}

// newHost runs workers; before is critest's. change may alter their
// configuration.
func newHost(t *testing.T, before func(ctx context.Context, call, name string) error, change ...func(*pod.Config)) *host {
	h := &host{t: t, runtime: critest.New(t, before), client: fake.NewSimpleClientset(),
		clock: testclock.NewFakeClock(time.Now()), events: record.NewFakeRecorder(10_000)}
	h.runtime.Now = h.clock.Now
	node := &podspec.Node{Name: "n1", Hostname: "n1", IPs: []string{"10.0.0.1"}, Logs: filepath.Join(t.TempDir(), "logs")}
	log := slog.New(slog.NewTextHandler(h, nil))
	cfg := pod.Config{
		Client: h.client, Runtime: h.runtime.Client, RuntimeName: "test", Sources: noSources{},
		Volumes: volume.New(volume.Config{Root: t.TempDir(), Node: func() *podspec.Node { return node }, Drivers: []driver.Driver{emptydir.Driver{}}}),
		Images:  image.New(image.Config{Runtime: h.runtime.Client.Images}), Cgroups: &cgroup.System{}, CgroupParent: "/test",
		Recorder: h.events, Node: func() *podspec.Node { return node }, Services: func() []*corev1.Service { return nil },
		NetworkReady: func() bool { return true }, Prober: probe.Network{Exec: h.runtime.Client.Exec}, Clock: h.clock, Log: log,
	}
	for _, f := range change {
		f(&cfg)
	}
	h.cfg = cfg
	h.run()
	return h
}

// run runs workers, which know of pods, until the test ends or stop is called.
func (h *host) run(pods ...*corev1.Pod) {
	workers := pod.NewWorkers(h.cfg)
	h.workers = workers
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = workers.Run(ctx)
	}()
	for _, p := range pods {
		workers.Update(p)
	}
	workers.Open()
	h.stop = func() {
		cancel()
		<-done
	}
	h.t.Cleanup(h.stop)
}

func (h *host) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

// lines of the log that have all of the words.
func (h *host) lines(words ...string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(h.log.String()), "\n") {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			out = append(out, line)
		}
	}
	return out
}

// await waits for ok while the pod's worker is nudged, as changes in the
// runtime do.
func (h *host) await(what string, p *corev1.Pod, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			calls := slices.DeleteFunc(h.runtime.Calls(), func(c string) bool { return c == "ListPodSandbox " })
			h.t.Fatalf("%s: did not happen; calls: %s", what, strings.Join(calls[max(len(calls)-100, 0):], ", "))
		}
		h.workers.Notify(p.UID)
	}
}

// looks waits until the worker has looked at the pod n times more.
func (h *host) looks(n int, p *corev1.Pod) {
	h.t.Helper()
	want := h.runtime.Count("ListPodSandbox ") + n
	h.await("looks", p, func() bool { return h.runtime.Count("ListPodSandbox ") >= want })
}

// create makes a pod and waits until the named containers run.
func (h *host) create(p *corev1.Pod, running ...string) *corev1.Pod {
	h.t.Helper()
	p.Namespace, p.Name, p.UID, p.Generation = "default", "web", "uid-web", 1
	p, err := h.client.CoreV1().Pods("default").Create(h.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.workers.Update(p)
	h.await("containers run", p, func() bool {
		return !slices.ContainsFunc(running, func(c string) bool { return !h.runtime.Running(c) })
	})
	return p
}

func (h *host) delete(p *corev1.Pod, grace int64) {
	p = p.DeepCopy()
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(h.clock.Now())), &grace
	h.workers.Update(p)
}

func (h *host) gone(p *corev1.Pod) {
	h.t.Helper()
	h.await("the pod is gone", p, func() bool {
		_, err := h.client.CoreV1().Pods("default").Get(h.t.Context(), p.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if !h.runtime.Empty() {
		h.t.Error("the runtime still has something of it")
	}
}

func containers(names ...string) []corev1.Container {
	var out []corev1.Container
	for _, n := range names {
		out = append(out, corev1.Container{Name: n, Image: "i:1"})
	}
	return out
}

// TestFailedEndBacksOff: what happens meanwhile does not make an end that
// failed be tried at once.
func TestFailedEndBacksOff(t *testing.T) {
	const remove = "RemovePodSandbox web"
	var broken sync.Map
	broken.Store(remove, true)
	h := newHost(t, func(_ context.Context, call, name string) error {
		if _, bad := broken.Load(call + " " + name); bad {
			return errors.New("cannot delete running task")
		}
		return nil
	})
	p := h.create(&corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app")}}, "app")
	h.delete(p, 0)
	for tries := 1; tries <= 4; tries++ {
		h.await("the end is tried", p, func() bool { return h.runtime.Count(remove) >= tries })
		h.looks(30, p)
		if got := h.runtime.Count(remove); got != tries {
			t.Fatalf("without waiting it was tried %d times, want %d", got, tries)
		}
		h.clock.Step(30 * time.Second)
	}
	if got := h.lines("level=WARN"); len(got) != 1 {
		t.Errorf("want one line about it, got\n%s", strings.Join(got, "\n"))
	}
	broken.Delete(remove)
	h.clock.Step(30 * time.Second)
	h.gone(p)
}

// TestRetriesBackOff: whatever else fails is not tried at once either.
func TestRetriesBackOff(t *testing.T) {
	for call, c := range map[string]struct {
		pod     *corev1.Pod
		running []string
		begin   func(h *host, p *corev1.Pod)
	}{
		"RunPodSandbox web":   {pod: &corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app")}}},
		"CreateContainer app": {pod: &corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app")}}},
		"StartContainer app":  {pod: &corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app")}}},
		"StopContainer 30 side": {pod: &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: containers("app"),
			InitContainers: []corev1.Container{{Name: "side", Image: "i:1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}}},
			running: []string{"app", "side"}, begin: func(h *host, _ *corev1.Pod) { h.runtime.Exit("app", 0) }},
		"StopPodSandbox web": {pod: &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: containers("app")}},
			running: []string{"app"}, begin: func(h *host, _ *corev1.Pod) { h.runtime.Exit("app", 0) }},
	} {
		t.Run(call, func(t *testing.T) {
			h := newHost(t, func(_ context.Context, what, name string) error {
				if what+" "+name == call {
					return errors.New("no")
				}
				return nil
			})
			p := h.create(c.pod, c.running...)
			if c.begin != nil {
				c.begin(h, p)
			}
			for tries := 1; tries <= 3; tries++ {
				h.await("a try", p, func() bool { return h.runtime.Count(call) >= tries })
				h.looks(30, p)
				if got := h.runtime.Count(call); got != tries {
					t.Fatalf("without waiting it was tried %d times, want %d", got, tries)
				}
				h.clock.Step(30 * time.Second)
			}
			if got := h.lines("level=WARN"); len(got) > 1 {
				t.Errorf("want one line about it at most, got\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

// TestDeletedWhileItStarts: what the runtime is making is waited for, and
// removed.
func TestDeletedWhileItStarts(t *testing.T) {
	for _, moment := range []string{"RunPodSandbox", "CreateContainer", "StartContainer"} {
		t.Run(moment, func(t *testing.T) {
			begun, finish := make(chan context.Context, 1), make(chan struct{})
			h := newHost(t, func(ctx context.Context, call, _ string) error {
				if call == moment {
					begun <- ctx
					<-finish
				}
				return nil
			})
			p := h.create(&corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app")}})
			within := <-begun
			h.delete(p, 1)
			h.looks(20, p)
			if within.Err() != nil {
				t.Error("the runtime was interrupted")
			}
			if h.runtime.Count("StopPodSandbox web") > 0 {
				t.Error("the pod is being ended while it is being made")
			}
			close(finish)
			h.gone(p)
		})
	}
}

// TestStatusRefused: a status that the API does not take is tried again, but
// not for a pod that has ended.
func TestStatusRefused(t *testing.T) {
	h := newHost(t, nil)
	tries, answers := make(chan struct{}, 1000), make(chan struct{})
	h.client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		tries <- struct{}{}
		<-answers
		return true, nil, apierrors.NewForbidden(corev1.Resource("pods"), "web", errors.New("by a webhook"))
	})
	p := h.create(&corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app")}}, "app")
	<-tries
	answers <- struct{}{}
	<-tries // again
	h.delete(p, 1)
	h.await("what is left is the last status", p, func() bool { return h.runtime.Empty() })
	h.looks(20, p)
	close(answers)
	h.gone(p)
}

// TestSidecarsEnd: their preStop hooks run at once beside the others', their
// stop signal waits for its turn; when the grace period is used up it waits no
// longer, and comes two seconds before the end.
func TestSidecarsEnd(t *testing.T) {
	release := make(chan struct{})
	h := newHost(t, func(_ context.Context, call, name string) error {
		if name == "app" && strings.HasPrefix(call, "StopContainer") {
			<-release
		}
		return nil
	})
	hook := &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app"), InitContainers: containers("one", "two")}}
	for i := range p.Spec.InitContainers {
		p.Spec.InitContainers[i].RestartPolicy, p.Spec.InitContainers[i].Lifecycle = ptr.To(corev1.ContainerRestartPolicyAlways), hook
	}
	p = h.create(p, "app", "one", "two")
	h.delete(p, 20)
	h.await("all hooks run and the main container is stopped", p, func() bool {
		return h.runtime.Count("ExecSync one") == 1 && h.runtime.Count("ExecSync two") == 1 && h.runtime.Count("StopContainer 20 app") == 1
	})
	h.looks(10, p)
	stops := func() (out []string) {
		for _, c := range h.runtime.Calls() {
			if strings.HasPrefix(c, "StopContainer") {
				out = append(out, c)
			}
		}
		return out
	}
	if got := stops(); len(got) != 1 {
		t.Errorf("while the main container ends: %v", got)
	}
	h.clock.Step(20 * time.Second)
	h.await("sidecars are stopped when the time is over", p, func() bool { return len(stops()) == 3 })
	if got := stops(); !slices.Contains(got, "StopContainer 2 one") || !slices.Contains(got, "StopContainer 2 two") {
		t.Errorf("got %v", got)
	}
	close(release)
	h.gone(p)
}

// TestSidecarsEndInTurn: the last one first, after the main containers.
func TestSidecarsEndInTurn(t *testing.T) {
	h := newHost(t, nil)
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app"), InitContainers: containers("one", "two")}}
	for i := range p.Spec.InitContainers {
		p.Spec.InitContainers[i].RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	}
	p = h.create(p, "app", "one", "two")
	h.delete(p, 20)
	h.gone(p)
	var stops []string
	for _, c := range h.runtime.Calls() {
		if name, ok := strings.CutPrefix(c, "StopContainer 20 "); ok {
			stops = append(stops, name)
		}
	}
	if got := strings.Join(stops, " "); got != "app two one" {
		t.Errorf("stopped in the order %s", got)
	}
}

// TestGracePeriods: what a container gets before SIGKILL, and whether its
// preStop hook runs.
func TestGracePeriods(t *testing.T) {
	hook := &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
	for grace, want := range map[int64]string{0: "StopContainer 2 app", 1: "StopContainer 2 app", 7: "StopContainer 7 app"} {
		h := newHost(t, nil)
		p := &corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace, Containers: containers("app")}}
		p.Spec.Containers[0].Lifecycle = hook
		p = h.create(p, "app")
		h.delete(p, grace)
		h.gone(p)
		if h.runtime.Count(want) != 1 || h.runtime.Count("ExecSync app") != 1 {
			t.Errorf("a period of %d: want one hook and %q; calls: %v", grace, want, h.runtime.Calls())
		}
	}
}

// TestShorterPeriod: one that is given later reaches a hook under way.
func TestShorterPeriod(t *testing.T) {
	h := newHost(t, func(ctx context.Context, call, _ string) error {
		if call == "ExecSync" {
			<-ctx.Done()
		}
		return nil
	})
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: containers("app")}}
	p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
	p = h.create(p, "app")
	h.delete(p, 120)
	h.await("the hook runs", p, func() bool { return h.runtime.Count("ExecSync app") == 1 })
	h.delete(p, 3)
	h.looks(10, p)
	h.clock.Step(3 * time.Second)
	h.gone(p)
	if h.runtime.Count("StopContainer 2 app") != 1 {
		t.Errorf("calls: %v", h.runtime.Calls())
	}
}

// TestRestartAllContainers: one container's exit starts all of them anew, in
// the sandbox that there is, and the API can see it.
func TestRestartAllContainers(t *testing.T) {
	h := newHost(t, nil)
	never := ptr.To(corev1.ContainerRestartPolicyNever)
	p := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, InitContainers: containers("side"), Containers: containers("source", "other")}}
	p.Spec.InitContainers[0].RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	p.Spec.Containers[0].RestartPolicy = never
	p.Spec.Containers[0].RestartPolicyRules = []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestartAllContainers,
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}}}}
	p = h.create(p, "side", "source", "other")
	h.runtime.Exit("source", 42)
	h.await("all run anew", p, func() bool {
		for _, c := range []string{"side", "source", "other"} {
			if h.runtime.Count("StartContainer "+c) != 2 || !h.runtime.Running(c) {
				return false
			}
		}
		return true
	})
	h.await("the status says so", p, func() bool {
		s := h.workers.Pods()[0].Status
		for _, c := range append(s.InitContainerStatuses, s.ContainerStatuses...) {
			if c.RestartCount != 1 || c.State.Running == nil || c.LastTerminationState.Terminated == nil {
				return false
			}
		}
		return slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.AllContainersRestarting && c.Status == corev1.ConditionFalse
		})
	})
	if h.runtime.Count("StopContainer 2 side") != 1 || h.runtime.Count("StopContainer 2 other") != 1 || h.runtime.Count("RunPodSandbox web") != 1 {
		t.Errorf("calls: %v", h.runtime.Calls())
	}
	h.looks(20, p)
	if got := h.runtime.Count("StartContainer source"); got != 2 {
		t.Errorf("source was started %d times", got)
	}
	h.delete(p, 1)
	h.gone(p)
}

// sick is what every probe sees.
type sick struct{}

func (sick) Probe(context.Context, *corev1.Probe, probe.Target) (bool, string, error) {
	return false, "deadlocked", nil
}

// TestLivenessUnderOnFailure: a container that is ended for its liveness probe
// is started again by OnFailure, though its process ends well, and never by
// Never.
func TestLivenessUnderOnFailure(t *testing.T) {
	for policy, want := range map[corev1.RestartPolicy]corev1.PodPhase{corev1.RestartPolicyOnFailure: corev1.PodRunning, corev1.RestartPolicyNever: corev1.PodSucceeded} {
		t.Run(string(policy), func(t *testing.T) {
			h := newHost(t, nil, func(c *pod.Config) { c.Prober = sick{} })
			app := containers("app")
			app[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}, PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 1}
			p := h.create(&corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: policy, Containers: app}})
			starts := 2
			if want == corev1.PodSucceeded {
				starts = 1
			}
			h.await(string(want), p, func() bool {
				h.clock.Step(time.Second)
				for _, x := range h.workers.Pods() {
					if x.UID == p.UID && x.Status.Phase == want && h.runtime.Count("StartContainer app") >= starts {
						return true
					}
				}
				return false
			})
			if want == corev1.PodSucceeded {
				h.looks(5, p)
				if got := h.runtime.Count("StartContainer app"); got != 1 {
					t.Errorf("started %d times", got)
				}
			}
		})
	}
}
