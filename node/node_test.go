package node_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

const nodeName = "n1"

// cluster is an API without a server, and a node agent that can be stopped
// and started anew. What the fake API does not do, the tests do: it has no
// graceful deletion, so that delete marks the pod as the API server would.
type cluster struct {
	t      testing.TB
	env    *testenv.Runtime
	client *fake.Clientset
	cfg    node.Config

	stop    context.CancelFunc
	stopped chan error
}

func newCluster(t testing.TB, change ...func(*node.Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, env: testenv.NewRuntime(t), client: fake.NewSimpleClientset()}
	c.client.PrependReactor("create", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "token" {
			return false, nil, nil
		}
		return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{
			Token: "the-token", ExpirationTimestamp: metav1.NewTime(time.Now().Add(time.Hour))}}, nil
	})
	// Nobody but the API server may use the node's API.
	c.client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, a.(clienttesting.CreateAction).GetObject(), nil
	})
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	c.cfg = node.Default()
	c.cfg.Name, c.cfg.Client, c.cfg.Root = nodeName, c.client, filepath.Join(c.env.Dir, "node")
	c.cfg.Cgroup, c.cfg.Registry = c.env.Cgroup, c.env.Registry
	c.cfg.SandboxImage = testenv.PauseImage
	c.cfg.IPs = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	c.cfg.Listen = ""
	c.cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: level}))
	for _, f := range change {
		f(&c.cfg)
	}
	t.Cleanup(func() {
		c.halt()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			c.dump()
		}
		if err := node.Cleanup(ctx, c.cfg, true); err != nil {
			t.Errorf("clean up node: %v", err)
		}
	})
	c.run()
	return c
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// run starts an agent.
func (c *cluster) run() {
	c.t.Helper()
	a, err := node.New(c.cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.stop, c.stopped = cancel, make(chan error, 1)
	go func() { c.stopped <- a.Run(ctx) }()
	select {
	case <-a.Ready():
	case err := <-c.stopped:
		c.stopped <- err
		c.t.Fatalf("agent: %v", err)
	case <-time.After(30 * time.Second):
		c.t.Fatal("agent does not become ready")
	}
}

// halt stops the agent; containers run on.
func (c *cluster) halt() {
	if c.stop == nil {
		return
	}
	c.stop()
	select {
	case err := <-c.stopped:
		if err != nil {
			c.t.Errorf("agent: %v", err)
		}
	case <-time.After(30 * time.Second):
		c.t.Error("agent does not end")
	}
	c.stop = nil
}

func (c *cluster) dump() {
	if b, err := os.ReadFile(filepath.Join(c.cfg.Root, "containerd/containerd.log")); err == nil {
		c.t.Logf("containerd's log ends:\n%s", b[max(0, len(b)-3000):])
	}
	events, err := c.client.CoreV1().Events("").List(context.Background(), metav1.ListOptions{})
	if err == nil {
		for _, e := range events.Items {
			c.t.Logf("event %s %s %s: %s", e.InvolvedObject.Name, e.Type, e.Reason, e.Message)
		}
	}
}

// pod makes a pod on the node's network, bound to it.
func (c *cluster) pod(name string, spec corev1.PodSpec) *corev1.Pod {
	c.t.Helper()
	spec.NodeName, spec.HostNetwork = nodeName, true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), Generation: 1}, Spec: spec}
	p, err := c.client.CoreV1().Pods("default").Create(c.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *cluster) get(name string) *corev1.Pod {
	c.t.Helper()
	p, err := c.client.CoreV1().Pods("default").Get(c.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatalf("pod %s: %v", name, err)
	}
	return p
}

// await waits until the pod satisfies ok, and returns it.
func (c *cluster) await(name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	c.t.Helper()
	var p *corev1.Pod
	eventually(c.t, what, func() bool {
		p = c.get(name)
		return ok(p)
	}, func() string { return fmt.Sprintf("%+v", p.Status) })
	return p
}

func eventually(t testing.TB, what string, ok func() bool, describe func() string) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen; last seen: %s", what, describe())
		}
	}
}

// delete marks the pod as being deleted and waits until the agent has deleted
// it for good.
func (c *cluster) delete(name string, grace int64) time.Duration {
	c.t.Helper()
	p := c.get(name)
	now := metav1.Now()
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, &grace
	if _, err := c.client.CoreV1().Pods("default").Update(c.t.Context(), p, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	began := time.Now()
	eventually(c.t, "pod "+name+" is gone", func() bool {
		_, err := c.client.CoreV1().Pods("default").Get(c.t.Context(), name, metav1.GetOptions{})
		return err != nil
	}, func() string { return "still there" })
	return time.Since(began)
}

// events lists reasons and messages of a pod's events.
func (c *cluster) events(name string) string {
	c.t.Helper()
	list, err := c.client.CoreV1().Events("").List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range list.Items {
		if e.InvolvedObject.Name == name {
			fmt.Fprintf(&b, "%s: %s\n", e.Reason, e.Message)
		}
	}
	return b.String()
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func demo(port int) corev1.Container {
	return corev1.Container{Name: "app", Image: testenv.DemoImage, Args: []string{fmt.Sprintf("--listen=127.0.0.1:%d", port)}}
}

func shell(name, script string) corev1.Container {
	return corev1.Container{Name: name, Image: testenv.BusyboxImage, Command: []string{"/bin/sh", "-c", script}}
}

var portCount struct {
	sync.Mutex
	last int
}

func freePort() int {
	portCount.Lock()
	defer portCount.Unlock()
	portCount.last++
	return 18000 + portCount.last
}

// shellLog is shell with the termination message settings that the API
// server defaults.
func shellLog(name, script string) corev1.Container {
	c := shell(name, script)
	c.TerminationMessagePath, c.TerminationMessagePolicy = corev1.TerminationMessagePathDefault, corev1.TerminationMessageReadFile
	return c
}
