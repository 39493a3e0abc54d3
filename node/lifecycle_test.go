package node_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
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
