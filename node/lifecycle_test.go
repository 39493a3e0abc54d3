package node_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func fetch(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func post(t *testing.T, url string) {
	t.Helper()
	r, err := http.Post(url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %s", url, r.Status)
	}
}

func TestPodRunsAndEnds(t *testing.T) {
	c := newCluster(t)
	n, err := c.client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Labels[corev1.LabelHostname]; got != nodeName {
		t.Errorf("hostname label: got %q", got)
	}
	app := demo(18080)
	app.Env = []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
	app.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(18080)}}, PeriodSeconds: 10}
	began := time.Now()
	c.pod("web", corev1.PodSpec{Containers: []corev1.Container{app}})
	p := c.await("web", "pod is ready", ready)
	t.Logf("created to Ready: %s", time.Since(began))
	if p.Status.Phase != corev1.PodRunning || p.Status.PodIP != "127.0.0.1" || p.Status.QOSClass != corev1.PodQOSBestEffort {
		t.Errorf("status: got %+v", p.Status)
	}
	if got := fetch(t, "http://127.0.0.1:18080/"); !strings.Contains(got, `"pod":"web"`) {
		t.Errorf("answer: got %s", got)
	}
	took := c.delete("web", 10)
	t.Logf("deleted to gone: %s", took)
	for _, want := range []string{"Pulled", "Created", "Started", "Killing"} {
		eventually(t, "event "+want, func() bool { return strings.Contains(c.events("web"), want) }, func() string { return c.events("web") })
	}
	if kids, err := c.env.Cgroups.Children(c.cfg.Cgroup + "/kubepods"); err != nil || len(kids) > 0 {
		t.Errorf("cgroups left: %v %v", kids, err)
	}
}

func TestCrashesBackOff(t *testing.T) {
	c := newCluster(t)
	c.pod("crash", corev1.PodSpec{Containers: []corev1.Container{shellLog("app", "echo last words > /dev/termination-log; exit 3")}})
	p := c.await("crash", "container backs off", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CrashLoopBackOff"
	})
	s := p.Status.ContainerStatuses[0]
	if s.RestartCount != 1 || s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 3 ||
		s.LastTerminationState.Terminated.Reason != "Error" {
		t.Errorf("status: got %+v", s)
	}
	if got := s.LastTerminationState.Terminated.Message; got != "last words\n" {
		t.Errorf("termination message: got %q", got)
	}
	if p.Status.Phase != corev1.PodRunning {
		t.Errorf("phase: got %s", p.Status.Phase)
	}
}

// TestAgentRestart kills nothing: the agent is stopped as kill -9 would, the
// container runs on under the same id, and the next agent takes it over
// without a restart, a moment of not being ready, or a second containerd.
func TestAgentRestart(t *testing.T) {
	c := newCluster(t)
	port := freePort()
	app := demo(port)
	app.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt(port)}}, PeriodSeconds: 1}
	c.pod("web", corev1.PodSpec{Containers: []corev1.Container{app}})
	c.pod("gone", corev1.PodSpec{Containers: []corev1.Container{demo(freePort())}})
	before := c.await("web", "pod is ready", ready)
	c.await("gone", "pod is ready", ready)
	pid := containerdPID(t, c)
	c.halt()
	if got := fetch(t, fmt.Sprintf("http://127.0.0.1:%d/version", port)); got != "v1\n" {
		t.Errorf("while no agent runs: got %q", got)
	}
	// Deleted while nobody looks: an orphan.
	if err := c.client.CoreV1().Pods("default").Delete(t.Context(), "gone", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := c.client.CoreV1().Pods("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	c.run()
	if got := containerdPID(t, c); got != pid {
		t.Errorf("containerd: got process %s, want %s again", got, pid)
	}
	eventually(t, "the orphan is removed", func() bool {
		kids, err := c.env.Cgroups.Children(c.cfg.Cgroup + "/kubepods")
		return err == nil && len(kids) == 1
	}, func() string { return "still there" })
	time.Sleep(1500 * time.Millisecond) // a probe or two
	after := c.get("web")
	if got, want := after.Status.ContainerStatuses[0].ContainerID, before.Status.ContainerStatuses[0].ContainerID; got != want {
		t.Errorf("container: got %s, want %s", got, want)
	}
	if got := after.Status.ContainerStatuses[0].RestartCount; got != 0 {
		t.Errorf("restarts: got %d", got)
	}
	w.Stop()
	for e := range w.ResultChan() {
		if p, ok := e.Object.(*corev1.Pod); ok && p.Name == "web" && !ready(p) {
			t.Errorf("the pod was not ready for a moment: %+v", p.Status.Conditions)
		}
	}
}

func containerdPID(t *testing.T, c *cluster) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.cfg.Root, "containerd/containerd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestContainerdKilled(t *testing.T) {
	c := newCluster(t)
	app := demo(freePort())
	c.pod("web", corev1.PodSpec{Containers: []corev1.Container{app}})
	before := c.await("web", "pod is ready", ready)
	first := containerdPID(t, c)
	pid, err := strconv.Atoi(strings.Fields(first)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "containerd runs again", func() bool { return containerdPID(t, c) != first }, func() string { return first })
	c.pod("next", corev1.PodSpec{Containers: []corev1.Container{demo(freePort())}})
	c.await("next", "another pod is ready", ready)
	after := c.get("web")
	if got, want := after.Status.ContainerStatuses[0].ContainerID, before.Status.ContainerStatuses[0].ContainerID; got != want || !ready(after) {
		t.Errorf("container: got %s, want %s; status %+v", got, want, after.Status)
	}
}

func TestJobSucceeds(t *testing.T) {
	c := newCluster(t)
	job := shellLog("main", "test -f /shared/done && echo ok")
	job.VolumeMounts = []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}
	first := shellLog("first", "touch /shared/done")
	first.VolumeMounts = job.VolumeMounts
	sidecar := shellLog("sidecar", "while true; do sleep 0.1; done")
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	c.pod("job", corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: ptr.To[int64](1),
		InitContainers: []corev1.Container{sidecar, first}, Containers: []corev1.Container{job},
		Volumes: []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}})
	p := c.await("job", "pod succeeds", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if got := p.Status.ContainerStatuses[0].State.Terminated; got == nil || got.Reason != "Completed" || got.ExitCode != 0 {
		t.Errorf("main: got %+v", got)
	}
	if got := p.Status.InitContainerStatuses[1]; !got.Ready || got.State.Terminated == nil {
		t.Errorf("init container: got %+v", got)
	}
	eventually(t, "cgroup is removed", func() bool {
		kids, err := c.env.Cgroups.Children(c.cfg.Cgroup + "/kubepods")
		return err == nil && len(kids) == 0
	}, func() string { return "still there" })
	if got := c.log("job", "main"); got != "ok\n" {
		t.Errorf("log of the finished pod: got %q", got)
	}
	c.delete("job", 30)
}

func TestImageFailures(t *testing.T) {
	c := newCluster(t)
	c.pod("bad", corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "pintle.dev/none:v9"}}})
	c.pod("never", corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "pintle.dev/none:v9", ImagePullPolicy: corev1.PullNever}}})
	for _, step := range []struct{ pod, reason string }{{"bad", "ErrImagePull"}, {"bad", "ImagePullBackOff"}, {"never", "ErrImageNeverPull"}} {
		c.await(step.pod, step.reason, func(p *corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
				p.Status.ContainerStatuses[0].State.Waiting.Reason == step.reason && p.Status.Phase == corev1.PodPending
		})
	}
	c.delete("bad", 30)
}

func TestSandboxDies(t *testing.T) {
	c := newCluster(t)
	c.pod("web", corev1.PodSpec{Containers: []corev1.Container{demo(freePort())}})
	c.await("web", "pod is ready", ready)
	pids, err := c.env.Cgroups.Procs(c.cfg.Cgroup + "/kubepods")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasSuffix(exe, "/pause") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.await("web", "the pod comes back", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount == 1 && ready(p) })
}
