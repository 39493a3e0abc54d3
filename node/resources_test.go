package node_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node"
)

func TestLimitsAndSecurity(t *testing.T) {
	c := newCluster(t)
	app := shellLog("app", `
echo caps=$(grep CapEff /proc/self/status | cat) nnp=$(grep NoNewPrivs /proc/self/status | cat) seccomp=$(grep Seccomp: /proc/self/status | cat)
touch /x 2>/dev/null || echo read-only root
sleep 1000`)
	app.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	app.SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true), AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	c.pod("limits", corev1.PodSpec{Containers: []corev1.Container{app}, TerminationGracePeriodSeconds: ptr.To[int64](0)})
	p := c.await("limits", "pod is ready", ready)
	if p.Status.QOSClass != corev1.PodQOSGuaranteed {
		t.Errorf("class: got %s", p.Status.QOSClass)
	}
	want := "caps=CapEff: 0000000000000400 nnp=NoNewPrivs: 1 seccomp=Seccomp: 2\nread-only root\n"
	eventually(t, want, func() bool { return c.log("limits", "app") == want }, func() string { return c.log("limits", "app") })
	if c.env.Cgroups.V1["memory"] == "" {
		return // figures below are those of cgroup v1
	}
	group := filepath.Join(c.cfg.Cgroup, "kubepods/poduid-limits")
	_, id, _ := strings.Cut(p.Status.ContainerStatuses[0].ContainerID, "://")
	for file, want := range map[string]string{
		filepath.Join(c.env.Cgroups.V1["memory"], group, "memory.limit_in_bytes"):     "100663296",
		filepath.Join(c.env.Cgroups.V1["memory"], group, id, "memory.limit_in_bytes"): "67108864",
		filepath.Join(c.env.Cgroups.V1["cpu"], group, "cpu.cfs_quota_us"):             "50000",
		filepath.Join(c.env.Cgroups.V1["cpu"], group, id, "cpu.shares"):               "512",
		filepath.Join(c.env.Cgroups.V1["pids"], group, "pids.max"):                    "4160",
	} {
		b, err := os.ReadFile(file)
		if got := strings.TrimSpace(string(b)); err != nil || got != want {
			t.Errorf("%s: got %s %v, want %s", file, got, err, want)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	c := newCluster(t)
	app := shellLog("app", "x=xxxxxxxx; while true; do x=$x$x; done")
	app.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}
	c.pod("oom", corev1.PodSpec{Containers: []corev1.Container{app}, RestartPolicy: corev1.RestartPolicyNever})
	p := c.await("oom", "pod fails", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if got := p.Status.ContainerStatuses[0].State.Terminated; got == nil || got.Reason != "OOMKilled" || got.ExitCode != 137 {
		t.Errorf("state: got %+v", got)
	}
}

// TestDraining checks the order of the end: the balancer has dropped the pod,
// and the EndpointSlices too, before the container hears of it.
func TestDraining(t *testing.T) {
	var drained atomic.Int64
	dir := t.TempDir()
	c := newCluster(t, func(cfg *node.Config) {
		cfg.DrainTimeout = 5 * time.Second
		cfg.Draining = func(context.Context, *corev1.Pod) error {
			drained.Store(time.Now().UnixNano())
			return nil
		}
	})
	app := shellLog("app", "trap 'touch /out/term; exit 0' TERM; while true; do sleep 0.05; done")
	app.VolumeMounts = []corev1.VolumeMount{{Name: "out", MountPath: "/out"}}
	c.pod("web", corev1.PodSpec{Containers: []corev1.Container{app}, Volumes: []corev1.Volume{{Name: "out", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}}})
	c.await("web", "pod is ready", ready)
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "default"}, Endpoints: []discoveryv1.Endpoint{{
		Addresses: []string{"10.0.0.1"}, NodeName: ptr.To(nodeName), TargetRef: &corev1.ObjectReference{Kind: "Pod", UID: "uid-web"}}}}
	slices := c.client.DiscoveryV1().EndpointSlices("default")
	if _, err := slices.Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // the agent learns of it
	var dropped time.Time
	go func() {
		time.Sleep(700 * time.Millisecond)
		slice.Endpoints[0].Conditions.Ready = ptr.To(false)
		dropped = time.Now()
		if _, err := slices.Update(context.Background(), slice, metav1.UpdateOptions{}); err != nil {
			t.Error(err)
		}
	}()
	c.delete("web", 10)
	fi, err := os.Stat(filepath.Join(dir, "term"))
	if err != nil {
		t.Fatal(err)
	}
	if own := time.Unix(0, drained.Load()); drained.Load() == 0 || !own.Before(dropped) {
		t.Errorf("own balancer drained at %s, slices at %s", own, dropped)
	}
	if !fi.ModTime().After(dropped) {
		t.Errorf("SIGTERM at %s, before the slices dropped the pod at %s", fi.ModTime(), dropped)
	}
}

// TestGraceIsShortened: a second deletion with a shorter grace period takes
// effect while the first is waited for.
func TestGraceIsShortened(t *testing.T) {
	c := newCluster(t)
	c.pod("slow", corev1.PodSpec{Containers: []corev1.Container{shellLog("app", "trap '' TERM; while true; do sleep 0.1; done")}})
	c.await("slow", "pod is ready", ready)
	p := c.get("slow")
	now := metav1.Now()
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, ptr.To[int64](600)
	if _, err := c.client.CoreV1().Pods("default").Update(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if took := c.delete("slow", 1); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}
