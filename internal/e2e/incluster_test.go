package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inClusterClients: a program with client-go's in-cluster configuration reaches
// the API from pods of these nodes, by the Service's address and by its names,
// from the pod's own network and from the node's.
func inClusterClients(t *testing.T, c *cluster, nodes ...string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "incluster")
	if out, err := run(t.Context(), []string{"CGO_ENABLED=0"}, "", "go", "build", "-o", bin, "./testdata/incluster"); err != nil {
		t.Fatalf("build the client: %v\n%s", err, out)
	}
	c.pintle(t, "image", "push", "incluster:v1", "--registry", c.registry, "--binary", bin)
	var pods []string
	for _, node := range nodes {
		for _, host := range []bool{false, true} {
			pod := fmt.Sprintf("incluster-%s-%v", node, host)
			c.kubectlIn(t, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  nodeName: %s
  hostNetwork: %v
  dnsPolicy: ClusterFirstWithHostNet
  restartPolicy: Never
  containers: [{name: client, image: incluster:v1}]
`, pod, node, host), "apply", "-f", "-")
			pods = append(pods, pod)
		}
	}
	t.Cleanup(func() { c.kubectl(t, append([]string{"delete", "pod", "--grace-period=1"}, pods...)...) })
	api := c.get(t, "service/kubernetes", "{.spec.clusterIP}")
	for _, pod := range pods {
		eventually(t, 60*time.Second, pod+" ends", func() error {
			if phase := c.get(t, "pod/"+pod, "{.status.phase}"); phase != "Succeeded" && phase != "Failed" {
				return fmt.Errorf("phase %s", phase)
			}
			return nil
		})
		const user = " system:serviceaccount:default:default"
		contains(t, pod, c.kubectl(t, "logs", pod), "https://"+api+":443"+user, "https://kubernetes.default.svc"+user, "https://kubernetes.default.svc.cluster.local"+user)
	}
}

// testInClusterClients: on every node of the lab, whose API server is on
// another machine.
func testInClusterClients(t *testing.T, c *cluster) {
	inClusterClients(t, c, "node1", "node2", "node3")
}

// TestServerAndNode: the control plane and the node as processes of their own,
// on one machine, with the addresses that are the defaults: the loopback.
func TestServerAndNode(t *testing.T) {
	requireUntouched(t)
	dir := filepath.Join("/var/lib", "pintle-e2e-two")
	server, node := filepath.Join(dir, "server"), filepath.Join(dir, "node")
	api, images := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	c := &cluster{bin: pintleBin(t), dir: dir, kubeconfig: filepath.Join(server, "admin.kubeconfig"), registry: images}
	t.Cleanup(func() {
		if t.Failed() {
			c.dump(t)
		}
		for _, d := range []string{node, server} {
			if out, err := c.tryPintle(context.WithoutCancel(t.Context()), "down", "--purge", "--data-dir", d); err != nil {
				t.Errorf("down: %v\n%s", err, out)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		nothingLeft(t, dir)
	})
	c.process(t, server, "server", "--data-dir", server, "--listen", api, "--registry-listen", images)
	eventually(t, 60*time.Second, "the server is ready", func() error {
		out, err := c.tryKubectl(t.Context(), "", "get", "--raw", "/readyz")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	name := thisMachine(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(c.pintle(t, "token", "create", "--print-token")), 0o600); err != nil {
		t.Fatal(err)
	}
	c.process(t, node, "node", "--data-dir", node, "--server", "https://"+api, "--registry", images, "--token-file", token)
	eventually(t, 60*time.Second, "the node joins", func() error {
		out, err := c.tryKubectl(t.Context(), "", "get", "node", name)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	c.kubectl(t, "wait", "--for=condition=Ready", "node/"+name, "--timeout=60s")
	inClusterClients(t, c, name)
}

// thisMachine is the name of the node that this machine is by default.
func thisMachine(t *testing.T) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ToLower(host)
}

// process runs pintle in the foreground until the test ends; its log is where
// dump looks for it.
func (c *cluster) process(t *testing.T, dir string, args ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "pintle.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(c.bin, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // interrupted: it says so
	})
}
