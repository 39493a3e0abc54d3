// Package e2e drives the built pintle binary as a stranger would, on a lab of
// three nodes with real etcd, containerd and eBPF, and follows the tour on a
// cluster of its own. The access table (TestAccess, and Access of the lab) says
// who may do what, on a control plane without nodes and on one with them;
// TestFloods, what others notice of who sends too much. The examples' page is
// followed on the lab (Examples). Nothing is imported from the product: what is
// tested is what users run.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pintleBin is the binary under test.
func pintleBin(t testing.TB) string {
	t.Helper()
	bin, err := filepath.Abs("../../bin/pintle")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return bin
}

// cluster is a running lab and how to reach it.
type cluster struct {
	bin, dir   string
	kubeconfig string
	registry   string // host:port of the image registry on loopback
	stock      string // a kubectl to use in place of `pintle kubectl`; "" for none
}

// withStockKubectl is the same cluster driven by upstream's own kubectl, built
// from the module that the project's kinds come from.
func (c *cluster) withStockKubectl(t testing.TB) *cluster {
	t.Helper()
	stock := *c
	stock.stock = filepath.Join(t.TempDir(), "kubectl")
	if out, err := run(t.Context(), nil, "", "go", "run", "-exec", "cp", "k8s.io/kubernetes/cmd/kubectl", stock.stock); err != nil {
		t.Fatalf("build kubectl: %v\n%s", err, out)
	}
	return &stock
}

// kubectlArgv is the command line of a kubectl command.
func (c *cluster) kubectlArgv(args ...string) []string {
	if c.stock != "" {
		return append([]string{c.stock}, args...)
	}
	return append([]string{c.bin, "kubectl"}, args...)
}

// startLab builds a lab for the whole test and removes it afterwards.
func startLab(t *testing.T, nodes int) *cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the end-to-end test makes namespaces and containers: run it as root")
	}
	c := &cluster{bin: pintleBin(t), dir: filepath.Join("/var/lib", "pintle-e2e")}
	// What an interrupted run left behind.
	if out, err := c.tryPintle(t.Context(), "lab", "down", "--dir", c.dir); err != nil {
		t.Fatalf("remove an earlier lab: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.dump(t)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if out, err := c.tryPintle(ctx, "lab", "down", "--dir", c.dir); err != nil {
			t.Errorf("lab down: %v\n%s", err, out)
		}
	})
	t.Log(c.pintle(t, "lab", "up", "--dir", c.dir, "--nodes", fmt.Sprint(nodes)))
	var st struct{ Kubeconfig, Registry string }
	if err := json.Unmarshal([]byte(c.pintle(t, "lab", "status", "--dir", c.dir, "-o", "json")), &st); err != nil {
		t.Fatal(err)
	}
	c.kubeconfig, c.registry = st.Kubeconfig, st.Registry
	return c
}

// dump prints what helps to understand a failure in CI.
func (c *cluster) dump(t *testing.T) {
	for _, args := range [][]string{{"get", "pods,svc,endpointslices,nodes,events", "-A", "-o", "wide"}, {"get", "plugins.pintle.dev", "-o", "yaml"}} {
		out, _ := c.tryKubectl(context.Background(), "", args...)
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
	logs, _ := filepath.Glob(filepath.Join(c.dir, "*", "pintle.log"))
	for _, l := range logs {
		b, _ := os.ReadFile(l)
		t.Logf("%s\n%s", filepath.Base(filepath.Dir(l)), tail(b, 6000))
	}
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

func run(ctx context.Context, env []string, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (c *cluster) tryPintle(ctx context.Context, args ...string) (string, error) {
	return run(ctx, []string{"KUBECONFIG=" + c.kubeconfig}, "", c.bin, args...)
}

// pintle runs a pintle command and fails the test when it fails.
func (c *cluster) pintle(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 4*time.Minute)
	defer cancel()
	out, err := c.tryPintle(ctx, args...)
	if err != nil {
		t.Fatalf("pintle %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *cluster) tryKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	argv := c.kubectlArgv(args...)
	return run(ctx, []string{"KUBECONFIG=" + c.kubeconfig}, stdin, argv[0], argv[1:]...)
}

// kubectl runs a kubectl command and fails the test when it fails.
func (c *cluster) kubectl(t testing.TB, args ...string) string {
	t.Helper()
	return c.kubectlIn(t, "", args...)
}

// kubectlIn is kubectl with standard input.
func (c *cluster) kubectlIn(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	out, err := c.tryKubectl(ctx, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs a kubectl command that must fail and returns what it printed.
func (c *cluster) refused(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := c.tryKubectl(ctx, stdin, args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("kubectl %s: succeeded (%v), want a refusal\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// onNode runs a command in a node's network, seen by its load balancer.
func (c *cluster) onNode(ctx context.Context, node string, argv ...string) (string, error) {
	return c.tryPintle(ctx, append([]string{"lab", "exec", "--dir", c.dir, node, "--"}, argv...)...)
}

// get reads a value by JSONPath; resource may hold a selector, "pods -l a=b".
func (c *cluster) get(t testing.TB, resource, path string) string {
	t.Helper()
	return strings.TrimSpace(c.kubectl(t, append(append([]string{"get"}, strings.Fields(resource)...), "-o", "jsonpath="+path)...))
}

// eventually polls until f answers nil, and fails the test with the last
// answer after limit.
func eventually(t testing.TB, limit time.Duration, what string, f func() error) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		err := f()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func contains(t testing.TB, what, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, got)
		}
	}
}
