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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
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

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

// noSources has no ConfigMap and no Secret.
type noSources struct{}

func (noSources) ConfigMap(string, string) (*corev1.ConfigMap, error) { return nil, nil }
func (noSources) Secret(string, string) (*corev1.Secret, error)       { return nil, nil }
func (noSources) Hold(*corev1.Pod)                                    {}
func (noSources) Release(types.UID)                                   {}

// newHost runs workers; before is critest's.
func newHost(t *testing.T, before func(ctx context.Context, call, name string) error) *host {
	h := &host{t: t, runtime: critest.New(t, before), client: fake.NewSimpleClientset(),
		clock: testclock.NewFakeClock(time.Now()), events: record.NewFakeRecorder(10_000)}
	node := &podspec.Node{Name: "n1", Hostname: "n1", IPs: []string{"10.0.0.1"}, Logs: filepath.Join(t.TempDir(), "logs")}
	log := slog.New(slog.NewTextHandler(h, nil))
	h.workers = pod.NewWorkers(pod.Config{
		Client: h.client, Runtime: h.runtime.Client, RuntimeName: "test", Sources: noSources{},
		Volumes: volume.New(volume.Config{Root: t.TempDir(), Sources: noSources{}, Node: func() *podspec.Node { return node }}),
		Images:  image.New(image.Config{Runtime: h.runtime.Client}), Cgroups: &cgroup.System{}, CgroupParent: "/test",
		Recorder: h.events, Node: func() *podspec.Node { return node }, Services: func() []*corev1.Service { return nil },
		NetworkReady: func() bool { return true }, Prober: probe.Network{Exec: h.runtime.Client.Exec}, Clock: h.clock, Log: log,
	})
	h.workers.Open()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.workers.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
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
			h.t.Fatalf("%s: did not happen; calls: %s", what, strings.Join(h.runtime.Calls(), ", "))
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
