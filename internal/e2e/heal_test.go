package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func demoBin(t testing.TB) string {
	t.Helper()
	p, err := filepath.Abs("../payload/files/demo")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Error(err)
	}
}

// testSelfHealing: point 6, on one node: crash and deletion.
func testSelfHealing(t *testing.T, c *cluster) {
	deploy(t, c, "tough", 2)
	pods := strings.Fields(c.get(t, "pods -l app=tough", "{.items[*].metadata.name}"))
	// The container ends under the command that asks it to: its own exit code
	// tells nothing.
	_, _ = c.tryKubectl(t.Context(), "", "exec", pods[0], "--", "/demo", "-get", "http://127.0.0.1:8080/exit?code=3")
	eventually(t, 60*time.Second, "a crashed container is restarted", func() error {
		return want(c.get(t, "pod/"+pods[0], "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].ready}"), "1 3 true")
	})
	c.kubectl(t, "run", "crasher", "--image=busybox:1", "--command", "--", "/bin/sh", "-c", "exit 1")
	t.Cleanup(func() {
		c.kubectl(t, "delete", "pod", "crasher", "--ignore-not-found", "--grace-period=1")
	})
	eventually(t, 90*time.Second, "a container that keeps crashing backs off", func() error {
		return want(c.get(t, "pod/crasher", "{.status.containerStatuses[0].state.waiting.reason}"), "CrashLoopBackOff")
	})
	eventually(t, 10*time.Second, "an event tells of it", func() error {
		if out := c.kubectl(t, "describe", "pod", "crasher"); !strings.Contains(out, "Back-off restarting failed container crasher in pod crasher_default(") {
			return errors.New(out)
		}
		return nil
	})
	c.kubectl(t, "delete", "service", "kubernetes")
	eventually(t, 20*time.Second, "the API's own Service comes back", func() error {
		_, err := c.tryKubectl(t.Context(), "", "get", "service", "kubernetes")
		return err
	})
	c.kubectl(t, "delete", "pod", pods[1], "--wait=false")
	eventually(t, 60*time.Second, "a deleted pod is replaced", func() error {
		now := c.get(t, "pods -l app=tough", "{.items[?(@.status.phase=='Running')].metadata.name}")
		if strings.Contains(now, pods[1]) || len(strings.Fields(now)) != 2 {
			return fmt.Errorf("pods now: %s", now)
		}
		return nil
	})
}

// lossLimit is the issue's: a dead node's pods run elsewhere within it, with
// the lab's settings.
const lossLimit = 20 * time.Second

// testNodeLoss: a node dies with its pods; they run elsewhere in time, and
// the node comes back.
func testNodeLoss(t *testing.T, c *cluster) {
	deploy(t, c, "mobile", 3)
	c.pintle(t, "lab", "kill", "--dir", c.dir, "node3")
	took := eventually(t, lossLimit, "replacements run on healthy nodes", func() error {
		return healthyOn(t, c, "mobile", 3, "node3")
	})
	t.Logf("node loss: replacements Running after %s", took.Round(100*time.Millisecond))
	c.pintle(t, "lab", "heal", "--dir", c.dir, "node3")
	waitReady(t, c, "node3")
}

func waitReady(t *testing.T, c *cluster, node string) {
	t.Helper()
	eventually(t, 60*time.Second, node+" is Ready again", func() error {
		out := c.kubectl(t, "get", "node", node, "--no-headers")
		if ok, _ := regexp.MatchString(node+` +Ready `, out); !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// healthyOn wants n ready pods of an app, none of them on the lost node.
func healthyOn(t *testing.T, c *cluster, app string, n int, lost string) error {
	out := c.get(t, "pods -l app="+app, "{range .items[*]}{.spec.nodeName}/{.status.phase}/{.status.containerStatuses[0].ready}/{.metadata.deletionTimestamp} {end}")
	ok := 0
	for _, p := range strings.Fields(out) {
		if !strings.HasPrefix(p, lost+"/") && strings.HasSuffix(p, "/Running/true/") {
			ok++
		}
	}
	if ok < n {
		return fmt.Errorf("%d of %d run elsewhere: %s", ok, n, out)
	}
	return nil
}

// testPartition: a node is cut off and heals; what was replaced meanwhile is
// cleaned up on it.
func testPartition(t *testing.T, c *cluster) {
	deploy(t, c, "split", 3)
	c.pintle(t, "lab", "cut", "--dir", c.dir, "node2")
	for _, n := range status(t, c) {
		if n.Cable == (n.Name == "node2") {
			t.Errorf("lab status after cut: %+v", n)
		}
	}
	eventually(t, lossLimit, "replacements run outside the partition", func() error {
		return healthyOn(t, c, "split", 3, "node2")
	})
	c.pintle(t, "lab", "heal", "--dir", c.dir, "node2")
	waitReady(t, c, "node2")
	eventually(t, 60*time.Second, "the healed node gives up the replaced pods", func() error {
		return want(len(strings.Fields(c.get(t, "pods -l app=split", "{.items[*].metadata.name}"))), 3)
	})
}
