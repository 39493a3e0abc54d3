package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scaffold makes a plugin, replaces its source by code, and builds it.
func scaffold(t *testing.T, c *cluster, kind, name, code string, host string) (file string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	c.pintle(t, "plugin", "new", kind, name, "--dir", dir)
	if code != "" {
		pkg := strings.ReplaceAll(name, "-", "")
		if err := os.Remove(filepath.Join(dir, pkg+"_test.go")); err != nil { // it tests the scaffold's own code
			t.Fatal(err)
		}
		path := filepath.Join(dir, pkg+".go")
		if err := os.WriteFile(path, []byte(code), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(dir, name+map[string]string{"wasm": ".wasm", "process": ".plugin"}[host])
	c.pintle(t, "plugin", "build", dir, "--host", host, "--output", file)
	return file
}

func waitPlugin(t *testing.T, c *cluster, name, phase string) {
	t.Helper()
	eventually(t, 60*time.Second, "plugin "+name+" is "+phase, func() error {
		return want(c.get(t, "plugins.pintle.dev/"+name, "{.status.phase}"), phase)
	})
}

const preferNode2 = `// Package prefernode2 prefers node2.
package prefernode2

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "prefer-node2", New: func([]byte) (sdk.Points, error) {
		return &scheduling.Points{Score: func(_ *scheduling.Pod, n scheduling.Node) int64 {
			if n.Name() == "node2" {
				return 100
			}
			return 0
		}}, nil
	}})
}
`

// testSchedulerPlugin: point 7. A score plugin is loaded into the running
// cluster and changes the next placement, as WASM and as a process.
func testSchedulerPlugin(t *testing.T, c *cluster) {
	for _, host := range []string{"wasm", "process"} {
		t.Run(host, func(t *testing.T) {
			file := scaffold(t, c, "scheduler", "prefer-node2", preferNode2, host)
			t.Cleanup(func() {
				c.kubectl(t, "delete", "deployment", "pinned", "--ignore-not-found")
				_, _ = c.tryPintle(context.WithoutCancel(t.Context()), "plugin", "remove", "prefer-node2")
			})
			c.pintle(t, "plugin", "load", file, "--host", host, "--weight", "1000")
			waitPlugin(t, c, "prefer-node2", "Ready")
			contains(t, "plugin list", c.pintle(t, "plugin", "list"), "prefer-node2", host, "Ready", "scheduling")
			c.kubectl(t, "create", "deployment", "pinned", "--image=demo:v1", "--replicas=4")
			c.kubectl(t, "rollout", "status", "deployment/pinned", "--timeout=60s")
			nodes := c.get(t, "pods -l app=pinned", "{.items[*].spec.nodeName}")
			if got := strings.Count(nodes, "node2"); got != 4 {
				t.Errorf("pods went to %s, want node2 four times", nodes)
			}
			c.pintle(t, "plugin", "remove", "prefer-node2")
			if out := c.pintle(t, "plugin", "list"); strings.Contains(out, "prefer-node2") {
				t.Errorf("plugin list after remove:\n%s", out)
			}
			c.kubectl(t, "delete", "deployment", "pinned")
			eventually(t, 60*time.Second, "pinned pods go", func() error {
				return want(c.get(t, "pods -l app=pinned", "{.items[*].metadata.name}"), "")
			})
			c.kubectl(t, "create", "deployment", "pinned", "--image=demo:v1", "--replicas=6")
			c.kubectl(t, "rollout", "status", "deployment/pinned", "--timeout=60s")
			if nodes := c.get(t, "pods -l app=pinned", "{.items[*].spec.nodeName}"); strings.Count(nodes, "node2") == 6 {
				t.Errorf("a removed plugin still decides: %s", nodes)
			}
		})
	}
}

// testAdmissionPlugin: a policy that refuses images with the tag latest.
func testAdmissionPlugin(t *testing.T, c *cluster) {
	file := scaffold(t, c, "admission", "no-latest", "", "wasm") // the scaffold is this policy
	t.Cleanup(func() {
		_, _ = c.tryPintle(context.WithoutCancel(t.Context()), "plugin", "remove", "no-latest")
		c.kubectl(t, "delete", "pod", "fine", "--ignore-not-found", "--grace-period=1")
	})
	// A rehearsal that another version does not end.
	c.pintle(t, "plugin", "load", file, "--mode", "Monitor")
	contains(t, "load again", c.pintle(t, "plugin", "load", file), "mode Monitor")
	out := c.kubectl(t, "run", "watched", "--image=demo:latest", "--dry-run=server")
	contains(t, "warning", out, "Warning:", "no-latest", "created (server dry run)")
	c.pintle(t, "plugin", "load", file, "--mode", "Enforce")
	waitPlugin(t, c, "no-latest", "Ready")
	out = c.refused(t, "", "run", "bad", "--image=demo:latest")
	contains(t, "refusal", out, "no-latest", "latest", "denied")
	contains(t, "refusal of an untagged image", c.refused(t, "", "run", "bad", "--image=demo"), "no-latest")
	c.kubectl(t, "run", "fine", "--image=demo:v1")
	c.pintle(t, "plugin", "remove", "no-latest")
	eventually(t, 10*time.Second, "a removed policy no longer refuses", func() error {
		_, err := c.tryKubectl(t.Context(), "", "run", "bad", "--image=demo:latest")
		return err
	})
	c.kubectl(t, "delete", "pod", "bad", "--grace-period=1")
}

// testControllerPlugin: a controller that keeps a ConfigMap per namespace.
func testControllerPlugin(t *testing.T, c *cluster) {
	file := scaffold(t, c, "controller", "welcome", "", "wasm") // the scaffold is this controller
	t.Cleanup(func() {
		_, _ = c.tryPintle(context.WithoutCancel(t.Context()), "plugin", "remove", "welcome")
		c.kubectl(t, "delete", "namespace", "guests", "--ignore-not-found")
	})
	c.pintle(t, "plugin", "load", file, "--allow", "get,list,watch:namespaces,configmaps", "--allow", "create:configmaps")
	waitPlugin(t, c, "welcome", "Ready")
	has := func(ns string) func() error {
		return func() error {
			out, err := c.tryKubectl(t.Context(), "", "get", "configmap", "welcome", "-n", ns)
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}
	}
	eventually(t, 20*time.Second, "an existing namespace gets its ConfigMap", has("default"))
	c.kubectl(t, "create", "namespace", "guests")
	eventually(t, 20*time.Second, "a new namespace gets its ConfigMap", has("guests"))
	c.kubectl(t, "delete", "configmap", "welcome", "-n", "guests")
	eventually(t, 20*time.Second, "a deleted ConfigMap comes back", has("guests"))
}

func hostile(body string) string {
	return `// Package hostile misbehaves.
package hostile

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "hostile", New: func([]byte) (sdk.Points, error) {
		return &scheduling.Points{Score: func(_ *scheduling.Pod, n scheduling.Node) int64 {
			` + body + `
		}}, nil
	}})
}
`
}

// testHostilePlugins: a plugin that panics or loops is stopped and reported,
// and pods are placed all the same.
func testHostilePlugins(t *testing.T, c *cluster) {
	for name, body := range map[string]string{
		"panic": `panic("I give up on " + n.Name())`,
		"loop":  `for i := 0; ; i++ { if i < 0 { return 1 } }`,
	} {
		t.Run(name, func(t *testing.T) {
			file := scaffold(t, c, "scheduler", "hostile", hostile(body), "wasm")
			t.Cleanup(func() {
				_, _ = c.tryPintle(context.WithoutCancel(t.Context()), "plugin", "remove", "hostile")
				c.kubectl(t, "delete", "deployment", "unharmed", "--ignore-not-found")
			})
			c.pintle(t, "plugin", "load", file, "--failure-policy", "Ignore")
			c.kubectl(t, "create", "deployment", "unharmed", "--image=demo:v1", "--replicas=3")
			c.kubectl(t, "rollout", "status", "deployment/unharmed", "--timeout=60s")
			eventually(t, 60*time.Second, "the fault is reported", func() error {
				out := c.get(t, "plugins.pintle.dev/hostile", "{.status.phase} {.status.faults}")
				if f := strings.Fields(out); len(f) == 2 && f[1] != "0" && (f[0] == "Quarantined" || f[0] == "Degraded") {
					return nil
				}
				return fmt.Errorf("status %q", out)
			})
		})
	}
}
