package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node"
)

// TestAgentKilledWhileAPodStarts: the runtime is making something when the
// agent is killed, and the connection with it. The runtime gives up half-way,
// and what it had begun goes on without being in its books. The pod is deleted,
// or is being, when the next agent comes; nothing is left.
func TestAgentKilledWhileAPodStarts(t *testing.T) {
	var r *slowRunc
	c := newCluster(t, func(cfg *node.Config) {
		scriptedNetwork(t, cfg)
		r = newSlowRunc(t, cfg.Root)
	})
	socket := filepath.Join(c.cfg.Root, "containerd/containerd.sock")
	client := c.pulled()
	pods := c.client.CoreV1().Pods("default")
	remove := map[string]func(name string) error{
		"is gone": func(name string) error { return pods.Delete(t.Context(), name, metav1.DeleteOptions{}) },
		"is being deleted": func(name string) error {
			patch := fmt.Appendf(nil, `{"metadata":{"deletionTimestamp":%q,"deletionGracePeriodSeconds":1}}`, time.Now().UTC().Format(time.RFC3339))
			_, err := pods.Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}
	for i, at := range []struct{ call, step string }{{"RunPodSandbox", "create"}, {"RunPodSandbox", "start"},
		{"CreateContainer", ""}, {"StartContainer", "create"}, {"StartContainer", "start"}} {
		for then, remove := range remove {
			t.Logf("killed at %s, %q; the pod %s", at.call, at.step, then)
			name := fmt.Sprintf("p%d-%d", i, len(then))
			k := newKiller(t, socket, at.call, func() error { return r.hold(at.step) }, r.begun)
			c.halt()
			c.cfg.RuntimeEndpoint = k.endpoint
			c.run()
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), Generation: 1},
				Spec: corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{shell("app", "while :; do sleep 0.1; done")}}}
			if _, err := pods.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-k.cut:
			case <-time.After(time.Minute):
				t.Fatalf("%s is not called", at.call)
			}
			c.stop()
			k.close()
			c.halt()
			lost(t, c, p)
			if held := r.goOn(t); held != (at.step != "") {
				t.Errorf("interrupted in the middle of a step: %v", held)
			}
			if err := remove(name); err != nil {
				t.Fatal(err)
			}
			c.cfg.RuntimeEndpoint = ""
			c.run()
			eventually(t, "the pod is gone", func() bool {
				list, err := pods.List(t.Context(), metav1.ListOptions{})
				return err == nil && len(list.Items) == 0
			}, func() string { return name })
			nothingLeft(t, c, client)
		}
	}
}

// TestAgentEndsThoughTheRuntimeHangs: what is being made is not waited for
// without end.
func TestAgentEndsThoughTheRuntimeHangs(t *testing.T) {
	c := newCluster(t)
	k := newKiller(t, filepath.Join(c.cfg.Root, "containerd/containerd.sock"), "RunPodSandbox",
		func() error { return nil }, func(context.Context) {})
	c.halt()
	c.cfg.RuntimeEndpoint = k.endpoint
	c.run()
	c.pod("web", corev1.PodSpec{Containers: []corev1.Container{shell("app", "true")}})
	select {
	case <-k.cut:
	case <-time.After(time.Minute):
		t.Fatal("no sandbox is made")
	}
	c.halt()
	c.cfg.RuntimeEndpoint = ""
}

// lost puts a process into a pod's group that is in no book at all, as that of
// a task whose shim has been given up.
func lost(t *testing.T, c *cluster, p *corev1.Pod) {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	group := c.cfg.Cgroup + "/kubepods/pod" + string(p.UID) + "/lost"
	if err := errors.Join(c.env.Cgroups.Create(group), c.env.Cgroups.Join(group, cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
}

// slowRunc is a runc that waits before it creates or starts a container, if it
// is told.
type slowRunc struct{ wait, began string }

func newSlowRunc(t *testing.T, dir string) *slowRunc {
	t.Helper()
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "slow")
	r := &slowRunc{filepath.Join(bin, "wait"), filepath.Join(bin, "began")}
	script := `#!/bin/busybox sh
step=$(/bin/busybox cat ` + r.wait + ` 2>/dev/null)
case "${step:+ $* }" in *" $step "*)
	: >` + r.began + `
	while [ -f ` + r.wait + ` ]; do /bin/busybox sleep 0.01; done
esac
exec ` + runc + ` "$@"
`
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "runc"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return r
}

// hold makes it wait before a step; "" is none.
func (r *slowRunc) hold(step string) error { return os.WriteFile(r.wait, []byte(step), 0o644) }

// begun waits until it waits, or ctx ends.
func (r *slowRunc) begun(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := os.Stat(r.began); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// goOn lets it go on, and tells whether it waited.
func (r *slowRunc) goOn(t *testing.T) bool {
	t.Helper()
	if err := os.Remove(r.wait); err != nil {
		t.Fatal(err)
	}
	err := os.Remove(r.began)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

// killer stands between an agent and its runtime. The first call of a name is
// interrupted at a step of it, as when the agent is killed; one without that
// step is made. Neither is answered.
type killer struct {
	endpoint string
	cut      chan struct{} // closed when the runtime has noticed

	runtime *grpc.ClientConn
	server  *grpc.Server
	call    string
	hold    func() error
	begun   func(context.Context)
	once    sync.Once
}

func newKiller(t *testing.T, socket, call string, hold func() error, begun func(context.Context)) *killer {
	t.Helper()
	at := filepath.Join(t.TempDir(), "k.sock")
	ln, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{endpoint: "unix://" + at, cut: make(chan struct{}), call: "/runtime.v1.RuntimeService/" + call, hold: hold, begun: begun}
	if k.runtime, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}))); err != nil {
		t.Fatal(err)
	}
	k.server = grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(k.forward))
	go func() { _ = k.server.Serve(ln) }()
	t.Cleanup(k.close)
	return k
}

func (k *killer) close() {
	k.server.Stop()
	_ = k.runtime.Close()
}

func (k *killer) forward(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	if strings.HasSuffix(method, "/GetContainerEvents") {
		return status.Error(codes.Unimplemented, "only single answers")
	}
	var in, out []byte
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	if method == k.call {
		first := false
		k.once.Do(func() { first = true })
		if first {
			return k.kill(s.Context(), method, in)
		}
	}
	if err := k.runtime.Invoke(s.Context(), method, &in, &out); err != nil {
		return err
	}
	return s.SendMsg(&out)
}

func (k *killer) kill(agent context.Context, method string, in []byte) error {
	if err := k.hold(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(agent)
	go func() {
		k.begun(ctx)
		cancel()
	}()
	var out []byte
	_ = k.runtime.Invoke(ctx, method, &in, &out)
	cancel()
	close(k.cut)
	<-agent.Done()
	return agent.Err()
}

// raw passes messages on as they are.
type raw struct{}

func (raw) Name() string                    { return "raw" }
func (raw) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = append([]byte(nil), b...); return nil }
