package node_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/podspec"
)

// BenchmarkPod measures, with a cached image and on the node's network, the
// time from a pod's creation in the API to its being Running there, and from
// its deletion to its being gone; and beside them, in the same run, the same
// calls to the runtime made by hand. The difference is the agent's.
func BenchmarkPod(b *testing.B) {
	c := newCluster(b)
	client, err := cri.Connect("unix://" + c.cfg.Root + "/containerd/containerd.sock")
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Images.Pull(b.Context(), testenv.DemoImage, nil, nil); err != nil {
		b.Fatal(err)
	}
	if _, err := client.Images.Pull(b.Context(), testenv.PauseImage, nil, nil); err != nil {
		b.Fatal(err)
	}
	var start, stop, bareStart, bareStop time.Duration
	n := 0
	for b.Loop() {
		n++
		name := fmt.Sprintf("pod%d", n)
		app := demo(freePort())
		app.TerminationMessagePath = "/dev/termination-log"
		began := time.Now()
		c.pod(name, corev1.PodSpec{Containers: []corev1.Container{app}, TerminationGracePeriodSeconds: ptr.To[int64](5)})
		c.await(name, "pod runs", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
		start += time.Since(began)
		stop += c.delete(name, 5)
		up, down := bare(b, c, client, name+"-bare")
		bareStart, bareStop = bareStart+up, bareStop+down
	}
	b.ReportMetric(0, "ns/op")
	for unit, d := range map[string]time.Duration{"agent-start-ms": start, "agent-stop-ms": stop, "cri-start-ms": bareStart, "cri-stop-ms": bareStop} {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(n), unit)
	}
}

// bare makes the calls by hand.
func bare(b *testing.B, c *cluster, client *cri.Client, name string) (up, down time.Duration) {
	b.Helper()
	ctx := b.Context()
	app := demo(freePort())
	pod := &corev1.Pod{Spec: corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{app}}}
	pod.Name, pod.Namespace, pod.UID = name, "default", "uid-x"
	node := &podspec.Node{Name: nodeName, Logs: b.TempDir()}
	sandbox, err := podspec.Sandbox(pod, node, c.cfg.Cgroup+"/kubepods/bare", 0)
	if err != nil {
		b.Fatal(err)
	}
	delete(sandbox.Labels, "io.kubernetes.pod.uid") // not the agent's business
	env, err := podspec.Environment(pod, &app, node, nil, nil, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	img, err := client.Images.Get(ctx, app.Image)
	if err != nil || img == nil {
		b.Fatal("no image", err)
	}
	cfg, err := podspec.Container(pod, &app, node, podspec.Instance{ImageRef: img.ID, Env: env, Mounts: []*runtimeapi.Mount{}})
	if err != nil {
		b.Fatal(err)
	}
	delete(cfg.Labels, "io.kubernetes.pod.uid")
	began := time.Now()
	sid, err := client.RunSandbox(ctx, sandbox, "")
	if err != nil {
		b.Fatal(err)
	}
	id, err := client.CreateContainer(ctx, sid, cfg, sandbox)
	if err != nil {
		b.Fatal(err)
	}
	if err := client.StartContainer(ctx, id); err != nil {
		b.Fatal(err)
	}
	up = time.Since(began)
	began = time.Now()
	if err := client.StopContainer(ctx, id, 5*time.Second); err != nil {
		b.Fatal(err)
	}
	if err := client.StopSandbox(ctx, sid); err != nil {
		b.Fatal(err)
	}
	if err := client.RemoveSandbox(ctx, sid); err != nil {
		b.Fatal(err)
	}
	return up, time.Since(began)
}
