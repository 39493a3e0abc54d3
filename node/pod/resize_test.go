package pod_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/checkpoint"
	"github.com/pintle-io/pintle/node/pod"
)

// resizable is a host with two CPUs that keeps allocations, and groups in a
// directory.
type resizable struct {
	*host
	groups, allocations string
}

func newResizable(t *testing.T, before func(ctx context.Context, call, name string) error) *resizable {
	r := &resizable{groups: t.TempDir(), allocations: filepath.Join(t.TempDir(), "allocations")}
	allocations := checkpoint.New(r.allocations)
	r.host = newHost(t, before, func(c *pod.Config) {
		c.Allocations, c.Cgroups = allocations, &cgroup.System{V1: map[string]string{"memory": r.groups, "cpu": r.groups}}
		node := &admit.Node{Object: &corev1.Node{}, Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"),
			corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("9")}}
		c.Admit = func(_ context.Context, p *corev1.Pod, others []*corev1.Pod) *admit.Refusal {
			return admit.Check(p, others, node)
		}
	})
	return r
}

func requirements(cpu, memory string) corev1.ResourceRequirements {
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
}

func (r *resizable) make(name, cpu, memory string, restart ...corev1.ResourceName) *corev1.Pod {
	r.t.Helper()
	c := corev1.Container{Name: name, Image: "i:1", Resources: requirements(cpu, memory)}
	for _, x := range restart {
		c.ResizePolicy = append(c.ResizePolicy, corev1.ContainerResizePolicy{ResourceName: x, RestartPolicy: corev1.RestartContainer})
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyOnFailure, Containers: []corev1.Container{c}}}
	p, err := r.client.CoreV1().Pods("default").Create(r.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.workers.Update(p)
	r.await(name+" runs", p, func() bool { return r.status(p) == "has "+cpu+" "+memory })
	return p
}

// change is the pod with other resources.
func change(p *corev1.Pod, cpu, memory string) *corev1.Pod {
	p = p.DeepCopy()
	p.Generation++
	p.Spec.Containers[0].Resources = requirements(cpu, memory)
	return p
}

// status is what the API is told of the pod's resources: what is allocated if
// that is something else than what there is, what there is, and conditions.
func (r *resizable) status(p *corev1.Pod) string {
	for _, x := range r.workers.Pods() {
		if x.UID != p.UID || len(x.Status.ContainerStatuses) == 0 || x.Status.ContainerStatuses[0].State.Running == nil {
			continue
		}
		s := x.Status.ContainerStatuses[0]
		if s.Resources == nil {
			return "nothing"
		}
		has := func(l corev1.ResourceList) string { return l.Cpu().String() + " " + l.Memory().String() }
		out := "has " + has(s.Resources.Requests)
		if has(s.Resources.Limits) != has(s.Resources.Requests) {
			out += " limits " + has(s.Resources.Limits)
		}
		if has(s.AllocatedResources) != has(s.Resources.Requests) {
			out = "gets " + has(s.AllocatedResources) + " " + out
		}
		for _, c := range x.Status.Conditions {
			if c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress {
				out += strings.TrimRight(fmt.Sprintf(", %s of %d %s %s", c.Type, c.ObservedGeneration, c.Reason, c.Message), " ")
			}
		}
		if s.RestartCount > 0 {
			out += fmt.Sprintf(", restarted %d", s.RestartCount)
		}
		return out
	}
	return "does not run"
}

func (r *resizable) shows(p *corev1.Pod, want string) {
	r.t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if got = r.status(p); got == want {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("got  %s\nwant %s", got, want)
		}
		r.workers.Notify(p.UID)
	}
}

// uses makes the group of a pod's instance, with what it uses of memory.
func (r *resizable) uses(p *corev1.Pod, memory int) {
	r.t.Helper()
	id := ""
	for _, x := range r.workers.Pods() {
		if x.UID == p.UID {
			_, id, _ = strings.Cut(x.Status.ContainerStatuses[0].ContainerID, "://")
		}
	}
	group := filepath.Join(r.groups, "test", "pod"+string(p.UID), id)
	if err := os.MkdirAll(group, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(group, "memory.usage_in_bytes"), []byte(strconv.Itoa(memory)), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// end deletes a pod. A directory is no group: its files keep it from being
// removed.
func (r *resizable) end(p *corev1.Pod) {
	if err := os.RemoveAll(filepath.Join(r.groups, "test", "pod"+string(p.UID))); err != nil {
		r.t.Fatal(err)
	}
	r.delete(p, 0)
}

// group reads a bound of a pod's group.
func (r *resizable) group(p *corev1.Pod, file string) string {
	b, err := os.ReadFile(filepath.Join(r.groups, "test", "pod"+string(p.UID), file))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (r *resizable) told() (out []string) {
	for {
		select {
		case e := <-r.events.Events:
			if strings.Contains(e, "Resize") {
				reason, _, _ := strings.Cut(e, ":")
				out = append(out, reason)
			}
		default:
			return out
		}
	}
}

// TestResize: more and less, of a container that runs on.
func TestResize(t *testing.T) {
	r := newResizable(t, nil)
	p := r.make("app", "500m", "64Mi")
	if got := r.group(p, "cpu.cfs_quota_us"); got != "50000" {
		t.Fatalf("quota of the group: %s", got)
	}
	r.uses(p, 1<<20)
	p = change(p, "1", "128Mi")
	r.workers.Update(p)
	r.shows(p, "has 1 128Mi")
	p = change(p, "250m", "32Mi")
	r.workers.Update(p)
	r.shows(p, "has 250m 32Mi")
	if got := r.group(p, "cpu.cfs_quota_us") + " " + r.group(p, "memory.limit_in_bytes"); got != "25000 67108864" { // and room for the runtime
		t.Errorf("group: %s", got)
	}
	var updates []string
	for _, c := range r.runtime.Calls() {
		if u, ok := strings.CutPrefix(c, "UpdateContainerResources "); ok {
			updates = append(updates, u)
		}
	}
	if want := []string{"1024/100000/128 app", "256/25000/32 app"}; !slices.Equal(updates, want) {
		t.Errorf("updates %q, want %q", updates, want)
	}
	if got := r.runtime.Count("StartContainer app"); got != 1 {
		t.Errorf("started %d times", got)
	}
	if got, want := r.told(), []string{"Normal ResizeStarted Pod resize started", "Normal ResizeCompleted Pod resize completed",
		"Normal ResizeStarted Pod resize started", "Normal ResizeCompleted Pod resize completed"}; !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}
	r.looks(5, p)
	if got := r.told(); len(got) > 0 {
		t.Errorf("told again: %q", got)
	}
}

// TestResizeByRestart: the container is started anew with what it was
// allocated, even by a policy that restarts none that ended well.
func TestResizeByRestart(t *testing.T) {
	r := newResizable(t, nil)
	p := r.make("app", "500m", "64Mi", corev1.ResourceMemory)
	for i, memory := range []string{"128Mi", "32Mi"} { // without a back-off between them
		p = change(p, "500m", memory)
		r.workers.Update(p)
		r.shows(p, fmt.Sprintf("has 500m %s, restarted %d", memory, i+1))
	}
	p = change(p, "1", "32Mi")
	r.workers.Update(p)
	r.shows(p, "has 1 32Mi, restarted 2")
	if got := r.group(p, "cpu.cfs_quota_us") + " " + r.group(p, "memory.limit_in_bytes"); got != "100000 67108864" {
		t.Errorf("group: %s", got)
	}
}

// TestResizeWaits: what there is no room for is not claimed, and is given when
// there is room: to the more important pod first.
func TestResizeWaits(t *testing.T) {
	r := newResizable(t, nil)
	other := r.make("other", "1", "64Mi")
	a, b := r.make("a", "200m", "64Mi"), r.make("b", "200m", "64Mi")
	b.Spec.Priority = new(int32)
	*b.Spec.Priority = 7
	a, b = change(a, "1100m", "64Mi"), change(b, "1", "64Mi")
	r.workers.Update(a)
	r.shows(a, "has 200m 64Mi, PodResizePending of 2 Deferred Node didn't have enough resource: cpu, requested: 1100, used: 1200, capacity: 2000")
	r.workers.Update(b)
	r.shows(b, "has 200m 64Mi, PodResizePending of 2 Deferred Node didn't have enough resource: cpu, requested: 1000, used: 1200, capacity: 2000")
	r.looks(5, a)
	if got, want := r.told(), []string{"Warning ResizeDeferred Pod resize OutOfcpu", "Warning ResizeDeferred Pod resize OutOfcpu"}; !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}
	r.end(other)
	r.shows(b, "has 1 64Mi")
	r.shows(a, "has 200m 64Mi, PodResizePending of 2 Deferred Node didn't have enough resource: cpu, requested: 1100, used: 1000, capacity: 2000")
	// Less asked for is granted at once, and makes room for the other.
	b = change(b, "800m", "64Mi")
	r.workers.Update(b)
	r.shows(b, "has 800m 64Mi")
	r.shows(a, "has 1100m 64Mi")
	a = change(a, "9", "64Mi")
	r.workers.Update(a)
	r.shows(a, "has 1100m 64Mi, PodResizePending of 3 Deferred Node didn't have enough resource: cpu, requested: 9000, used: 800, capacity: 2000")
	a = change(a, "1100m", "64Mi")
	r.workers.Update(a)
	r.shows(a, "has 1100m 64Mi")
}

// TestResizeRefused: memory in use is not taken away.
func TestResizeRefused(t *testing.T) {
	r := newResizable(t, nil)
	p := r.make("app", "500m", "64Mi")
	r.uses(p, 40_000_000)
	p = change(p, "500m", "16Mi")
	r.workers.Update(p)
	r.shows(p, `gets 500m 16Mi has 500m 64Mi, PodResizeInProgress of 2 Error cannot decrease memory limits: attempting to set container "app" memory limit (16777216) below current usage (40000000)`)
	p = change(p, "500m", "48Mi")
	r.workers.Update(p)
	r.shows(p, "has 500m 48Mi")
	if got := r.lines("level=WARN"); len(got) > 0 && got[0] != "" {
		t.Errorf("a user's wish woke somebody: %q", got)
	}
}

// TestResizeFails: the runtime's refusal is told, and the call is made again.
func TestResizeFails(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	r := newResizable(t, func(_ context.Context, call, _ string) error {
		if broken.Load() && strings.HasPrefix(call, "UpdateContainerResources") {
			return errors.New("no such task")
		}
		return nil
	})
	p := r.make("app", "500m", "64Mi")
	p = change(p, "1", "64Mi")
	r.workers.Update(p)
	r.shows(p, "gets 1 64Mi has 500m 64Mi, PodResizeInProgress of 2 Error no such task")
	r.looks(5, p)
	if got := r.runtime.Count("UpdateContainerResources 1024/100000/64 app"); got != 1 {
		t.Errorf("tried %d times without waiting", got)
	}
	broken.Store(false)
	r.clock.Step(time.Minute)
	r.shows(p, "has 1 64Mi")
}

// TestResizeNotKept: what cannot be written is not granted. The pod says that it
// waits, the log says it once, and it is granted when the disk takes it.
func TestResizeNotKept(t *testing.T) {
	r := newResizable(t, nil)
	p := r.make("app", "500m", "64Mi")
	aside := r.allocations + ".aside"
	if err := os.Rename(r.allocations, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.allocations, nil, 0o600); err != nil { // no folder: as on a full disk, no file can be made
		t.Fatal(err)
	}
	p = change(p, "1", "64Mi")
	r.workers.Update(p)
	const waits = "has 500m 64Mi, PodResizePending of 2 Deferred Node could not record what it allocates"
	r.shows(p, waits)
	for range 5 {
		r.looks(5, p)
		r.clock.Step(time.Minute)
	}
	r.looks(5, p) // no try is under way while the folder comes back
	r.shows(p, waits)
	if got := r.lines("level=WARN"); len(got) != 1 || !strings.Contains(got[0], "it could not be kept") {
		t.Errorf("warnings: %q", got)
	}
	if got, want := r.told(), []string{"Warning ResizeDeferred Pod resize Deferred"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if err := errors.Join(os.Remove(r.allocations), os.Rename(aside, r.allocations)); err != nil {
		t.Fatal(err)
	}
	r.clock.Step(time.Hour)
	r.shows(p, "has 1 64Mi")
}

// TestResizeAndAgent: an agent that starts knows what was allocated by those
// before it, whatever the pod asks for meanwhile.
func TestResizeAndAgent(t *testing.T) {
	r := newResizable(t, nil)
	other := r.make("other", "1", "64Mi")
	p := r.make("app", "500m", "64Mi")
	p = change(p, "1", "64Mi")
	r.workers.Update(p)
	r.shows(p, "has 1 64Mi")
	stored := func(p *corev1.Pod) *corev1.Pod {
		p = p.DeepCopy()
		for _, x := range r.workers.Pods() {
			if x.UID == p.UID {
				p.Status = x.Status
			}
		}
		return p
	}
	p, other = stored(change(p, "1500m", "64Mi")), stored(other)
	r.stop()
	r.run(p, other)
	const waits = "has 1 64Mi, PodResizePending of 3 Deferred Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"
	r.shows(p, waits)
	r.told()
	p, other = stored(p), stored(other)
	r.stop()
	r.run(p, other)
	r.shows(p, waits)
	if got := r.told(); len(got) > 0 {
		t.Errorf("told again: %q", got)
	}
	r.end(other)
	r.shows(p, "has 1500m 64Mi")
	if got := r.runtime.Count("StartContainer app"); got != 1 {
		t.Errorf("started %d times", got)
	}
}

// TestAllocationLost: an agent that finds no record of a pod that runs, or one
// that is damaged, gives it what it asks for, and what runs gets that.
func TestAllocationLost(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"gone":    os.Remove,
		"damaged": func(file string) error { return os.WriteFile(file, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newResizable(t, nil)
			p := r.make("app", "500m", "64Mi")
			r.shows(p, "has 500m 64Mi")
			for _, x := range r.workers.Pods() {
				p.Status = x.Status
			}
			r.stop()
			if err := damage(filepath.Join(r.allocations, string(p.UID)+".json")); err != nil {
				t.Fatal(err)
			}
			r.told()
			p = change(p, "1", "128Mi")
			r.run(p)
			r.shows(p, "has 1 128Mi")
			if got := r.runtime.Count("UpdateContainerResources 1024/100000/128 app"); got != 1 {
				t.Errorf("updated %d times", got)
			}
			if got := r.group(p, "cpu.cfs_quota_us"); got != "100000" {
				t.Errorf("quota of the group: %s", got)
			}
			if got := r.told(); len(got) > 0 {
				t.Errorf("told of a resize that nobody asked for now: %q", got)
			}
		})
	}
}
