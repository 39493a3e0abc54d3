package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUp: a cluster on this machine by one command. Started twice it does no
// harm; killed and started again it is as it was, and its containers have run
// on; down leaves nothing behind.
func TestUp(t *testing.T) {
	dir := filepath.Join("/var/lib", "pintle-e2e-up")
	c := &cluster{bin: pintleBin(t), dir: dir, kubeconfig: filepath.Join(dir, "admin.kubeconfig"), registry: "127.0.0.1:15000"}
	down := func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		defer cancel()
		return c.tryPintle(ctx, "down", "--purge", "--data-dir", dir)
	}
	if _, err := os.Stat("/sys/class/net/pintle0"); err == nil {
		t.Fatal("a cluster is up on this machine already: `pintle down` it first")
	}
	t.Cleanup(func() {
		if out, err := down(); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
		nothingLeft(t, dir)
	})
	up := []string{"up", "--data-dir", dir, "--listen", "127.0.0.1:16443", "--registry-listen", c.registry}
	contains(t, "up", c.pintle(t, up...), "✓ etcd", "✓ services", "✓ node", "Ready after", "Try:", "kubectl create deployment")
	contains(t, "up, again", c.pintle(t, up...), "already up")

	c.kubectl(t, "create", "deployment", "web", "--image=demo:v1", "--replicas=2")
	c.kubectl(t, "expose", "deployment", "web", "--port=80", "--target-port=8080")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=60s")
	url := "http://" + c.get(t, "service/web", "{.spec.clusterIP}") + "/hostname"
	answers := func() error {
		out, err := run(t.Context(), nil, "", demoBin(t), "-get", url)
		if err == nil && !strings.HasPrefix(out, "web-") {
			err = fmt.Errorf("answered %q", out)
		}
		return err
	}
	eventually(t, 10*time.Second, "the ClusterIP answers from the host", answers)

	inClusterClients(t, c, thisMachine(t))

	// Another directory can neither start beside it nor tear it down.
	other := t.TempDir()
	for _, verb := range []string{"up", "down"} {
		out, err := c.tryPintle(t.Context(), verb, "--data-dir", other)
		if err == nil {
			t.Errorf("%s of another directory succeeded:\n%s", verb, out)
		}
		contains(t, verb+" of another directory", out, "the cluster of "+dir+" runs on this machine")
	}
	eventually(t, 5*time.Second, "the ClusterIP answers all the same", answers)

	before := c.get(t, "pods -l app=web", "{range .items[*]}{.metadata.uid}={.status.containerStatuses[0].containerID} {end}")
	kill9(t, filepath.Join(dir, "pintle.lock"))
	eventually(t, 5*time.Second, "the ClusterIP answers while no pintle runs", answers)
	contains(t, "up after kill -9", c.pintle(t, up...), "Ready after")
	after := c.get(t, "pods -l app=web", "{range .items[*]}{.metadata.uid}={.status.containerStatuses[0].containerID} {end}")
	if before != after {
		t.Errorf("containers did not run on:\nbefore %s\nafter  %s", before, after)
	}
	c.kubectl(t, "scale", "deployment/web", "--replicas=3")
	c.kubectl(t, "rollout", "status", "deployment/web", "--timeout=60s")
	eventually(t, 10*time.Second, "the ClusterIP answers afterwards", answers)
}

// kill9 ends the process whose pid the lock file holds.
func kill9(t *testing.T, lock string) {
	t.Helper()
	b, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the process is gone", func() error {
		if err := syscall.Kill(pid, 0); err == nil {
			if st, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(st), ") Z ") {
				return nil // dead, not yet reaped
			}
			return fmt.Errorf("%d runs", pid)
		}
		return nil
	})
}

// nothingLeft looks for what a cluster makes outside of its directory.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	if _, err := os.Stat("/sys/class/net/pintle0"); err == nil {
		t.Error("the pods' bridge is still there")
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
	for _, cg := range []string{"/sys/fs/cgroup/memory/pintle/node", "/sys/fs/cgroup/unified/pintle/node", "/sys/fs/cgroup/pintle/node"} {
		if _, err := os.Stat(cg); err == nil {
			t.Errorf("cgroup %s is left", cg)
		}
	}
	if out, err := run(context.WithoutCancel(t.Context()), nil, "", "ip", "route", "show", "proto", "80"); err == nil && strings.TrimSpace(out) != "" {
		t.Errorf("routes are left:\n%s", out)
	}
	if out, err := run(context.WithoutCancel(t.Context()), nil, "", "nft", "list", "tables"); err != nil || strings.Contains(out, "pintle") {
		t.Errorf("nft tables are left: %v\n%s", err, out)
	}
	if _, err := os.Stat("/run/pintle.dir"); err == nil {
		t.Error("/run/pintle.dir is left")
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), dir) {
			t.Errorf("process %s runs: %s", filepath.Base(filepath.Dir(p)), strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
}
