package node_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/mount"
)

// churnPods is how many pods TestPodsDeletedWhileTheyStart makes; `make soak`
// asks for 2,000.
const churnPods = "PINTLE_SOAK_PODS"

// maxChurnLog is what the agent may write about the churn, in bytes.
const maxChurnLog = 2 << 20

// TestPodsDeletedWhileTheyStart deletes pods at random moments of their start.
// Nothing of them may be left: no pod, sandbox, container, task, cgroup or
// network namespace; and the agent has nothing to complain of at length.
func TestPodsDeletedWhileTheyStart(t *testing.T) {
	total := 60
	if v := os.Getenv(churnPods); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("%s: %v", churnPods, err)
		}
		total = n
	}
	var written atomic.Int64
	c := newCluster(t, func(cfg *node.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(&counted{&written, testWriter{t}}, nil))
		cfg.MaxPods = 200
		scriptedNetwork(t, cfg)
	})
	client := c.pulled()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var group sync.WaitGroup
	slots := make(chan struct{}, 10)
	for i := range total {
		moment := time.Duration(random.Int64N(int64(900 * time.Millisecond)))
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			c.churn(fmt.Sprintf("p%d", i), i%2 == 0, moment)
		})
	}
	group.Wait()
	nothingLeft(t, c, client)
	if n := written.Load(); n > maxChurnLog {
		t.Errorf("the agent wrote %d bytes of log", n)
	} else {
		t.Logf("the agent wrote %d bytes of log about %d pods", n, total)
	}
}

// pulled is a client of the runtime, which has the images of the pods that
// start here.
func (c *cluster) pulled() *cri.Client {
	c.t.Helper()
	client, err := cri.Connect("unix://" + filepath.Join(c.cfg.Root, "containerd/containerd.sock"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	for _, image := range []string{testenv.PauseImage, testenv.BusyboxImage} {
		if _, err := client.Images.Pull(c.t.Context(), image, nil, nil); err != nil {
			c.t.Fatal(err)
		}
	}
	return client
}

// churn makes a pod and deletes it a moment later.
func (c *cluster) churn(name string, hostNetwork bool, moment time.Duration) {
	one := int64(1)
	app := shell("app", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), Generation: 1},
		Spec: corev1.PodSpec{NodeName: nodeName, HostNetwork: hostNetwork, TerminationGracePeriodSeconds: &one,
			InitContainers: []corev1.Container{shell("first", "true")}, Containers: []corev1.Container{app, {Name: "pause", Image: testenv.PauseImage}}}}
	pods := c.client.CoreV1().Pods("default")
	if _, err := pods.Create(c.t.Context(), p, metav1.CreateOptions{}); err != nil {
		c.t.Error(err)
		return
	}
	time.Sleep(moment) // where in its start the pod is hit
	patch := fmt.Appendf(nil, `{"metadata":{"deletionTimestamp":%q,"deletionGracePeriodSeconds":1}}`, time.Now().UTC().Format(time.RFC3339))
	if _, err := pods.Patch(c.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		c.t.Error(err)
		return
	}
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := pods.Get(c.t.Context(), name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			return
		}
		if time.Now().After(end) {
			c.t.Errorf("pod %s, deleted %s after its creation, is still there", name, moment)
			return
		}
	}
}

// nothingLeft checks that the runtime and the kernel hold nothing of any pod.
func nothingLeft(t *testing.T, c *cluster, client *cri.Client) {
	t.Helper()
	left := func() []string {
		var out []string
		pods, err := client.Pods(t.Context())
		if err != nil {
			return []string{err.Error()}
		}
		for _, p := range pods {
			out = append(out, fmt.Sprintf("pod %s with %d sandboxes and %d containers", p.Name, len(p.Sandboxes), len(p.Containers)))
		}
		groups, err := c.env.Cgroups.Children(c.cfg.Cgroup + "/kubepods")
		if err != nil {
			return []string{err.Error()}
		}
		for _, g := range groups {
			out = append(out, "cgroup "+g)
		}
		mounts, err := mount.Below(c.cfg.Root)
		if err != nil {
			return []string{err.Error()}
		}
		for _, m := range mounts {
			if strings.Contains(m, "netns") || strings.Contains(m, "rootfs") || strings.Contains(m, "shm") {
				out = append(out, "mount "+m)
			}
		}
		tasks, err := filepath.Glob(filepath.Join(c.cfg.Root, "containerd/state/io.containerd.runtime.v2.task/k8s.io/*"))
		if err != nil {
			return []string{err.Error()}
		}
		for _, f := range tasks {
			out = append(out, "task "+filepath.Base(f))
		}
		return out
	}
	eventually(t, "nothing is left of the pods", func() bool { return len(left()) == 0 }, func() string { return strings.Join(left(), "\n") })
}

// scriptedNetwork gives pods network namespaces with a CNI plugin that gives
// them an address and nothing else.
func scriptedNetwork(t *testing.T, cfg *node.Config) {
	t.Helper()
	for _, d := range []string{cfg.CNIBin(), cfg.CNIConf()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const script = `#!/bin/busybox sh
/bin/busybox cat >/dev/null
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"version":"4","address":"10.244.0.2/32","interface":0}]}' ;;
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}' ;;
esac
`
	for _, name := range []string{"scripted", "loopback"} {
		if err := os.WriteFile(filepath.Join(cfg.CNIBin(), name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := `{"cniVersion":"0.4.0","name":"test","plugins":[{"type":"scripted"}]}`
	if err := os.WriteFile(filepath.Join(cfg.CNIConf(), "10-test.conflist"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
}

// counted counts what is written.
type counted struct {
	n *atomic.Int64
	w testWriter
}

func (c *counted) Write(p []byte) (int, error) {
	if c.n.Add(int64(len(p))) > maxChurnLog {
		return len(p), nil
	}
	return c.w.Write(p)
}
