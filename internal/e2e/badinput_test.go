package e2e

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testBadInput: what goes wrong is named, with the remedy, and nothing is lost.
func testBadInput(t *testing.T, c *cluster) {
	pod := func(spec string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: wrong}\nspec:\n" + spec
	}
	for _, tc := range []struct {
		name, doc string
		want      []string
	}{
		{"malformed YAML", "apiVersion: v1\nkind: Pod\n  metadata: [", []string{"error converting YAML to JSON"}},
		{"unknown field", pod("  containers: [{name: a, image: demo:v1}]\n  colour: red\n"), []string{`unknown field "spec.colour"`}},
		{"wrong type", pod("  containers: [{name: a, image: demo:v1}]\n  priority: high\n"), []string{"priority"}},
		{"missing field", pod("  containers: [{name: a}]\n"), []string{"spec.containers[0].image", "Required value"}},
		{"invalid value", pod("  containers: [{name: A_b, image: demo:v1}]\n"), []string{"spec.containers[0].name", "Invalid value"}},
		{"unknown kind", "apiVersion: v1\nkind: Pood\nmetadata: {name: x}\n", []string{`no matches for kind "Pood"`}},
		{"missing namespace", strings.Replace(pod("  containers: [{name: a, image: demo:v1}]\n"), "{name: wrong}", "{name: wrong, namespace: nowhere}", 1), []string{`namespaces "nowhere" not found`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			contains(t, "answer", c.refused(t, tc.doc, "apply", "-f", "-"), tc.want...)
		})
	}
	t.Run("corrupted wasm", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "torn.wasm")
		if err := os.WriteFile(file, []byte("\x00asm\x01\x00\x00\x00\x07\xff\xff garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := c.tryPintle(t.Context(), "plugin", "load", file)
		if err == nil {
			t.Fatalf("a corrupted module was loaded:\n%s", out)
		}
		contains(t, "answer", out, "torn.wasm", "the Plugin was removed again")
		if list := c.pintle(t, "plugin", "list"); strings.Contains(list, "torn") {
			t.Errorf("it left a Plugin behind:\n%s", list)
		}
	})
	t.Run("wrong token", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		dir := t.TempDir()
		bad := filepath.Join(dir, "token")
		if err := os.WriteFile(bad, []byte(strings.Replace(labToken(t, c), ".", ".0000", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := c.tryPintle(ctx, "lab", "exec", "--dir", c.dir, "switch", "--", c.bin, "node", "--name", "stranger",
			"--server", "https://172.31.77.1:6443", "--token-file", bad, "--data-dir", dir, "--node-ip", "172.31.77.1")
		if err == nil {
			t.Fatalf("a node joined with a wrong token:\n%s", out)
		}
		contains(t, "answer", out, "token")
	})
}

func labToken(t *testing.T, c *cluster) string {
	t.Helper()
	return strings.TrimSpace(c.pintle(t, "token", "create", "--print-token"))
}

// TestStartErrors: `pintle up` on a machine that is not ready says what is
// missing, and leaves nothing behind.
func TestStartErrors(t *testing.T) {
	bin := pintleBin(t)
	up := func(t *testing.T, prepare func(*exec.Cmd), args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, append([]string{"up", "--data-dir", filepath.Join(t.TempDir(), "data")}, args...)...)
		cmd.Env = os.Environ()
		if prepare != nil {
			prepare(cmd)
		}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("started, or broke (%v):\n%s", err, out)
		}
		return string(out)
	}
	t.Run("port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out := up(t, nil, "--listen", l.Addr().String())
		contains(t, "answer", out, l.Addr().String(), "in use", "--listen")
	})
	t.Run("no containerd", func(t *testing.T) {
		out := up(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "PATH="+t.TempDir()) })
		contains(t, "answer", out, "containerd", "apt-get install")
	})
	t.Run("not root", func(t *testing.T) {
		readable := filepath.Join(t.TempDir(), "pintle")
		data, err := os.ReadFile(bin)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(readable, data, 0o755); err != nil {
			t.Fatal(err)
		}
		for d := filepath.Dir(readable); len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		out := up(t, func(cmd *exec.Cmd) {
			cmd.Path, cmd.Args[0] = readable, readable
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		})
		contains(t, "answer", out, "root")
	})
	t.Run("full disk", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "small")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
		out := up(t, nil, "--data-dir", filepath.Join(dir, "data"))
		contains(t, "answer", out, "space")
	})
	t.Run("bad flags", func(t *testing.T) {
		contains(t, "answer", up(t, nil, "--service-cidr", "10.96.0.0/33"), "--service-cidr", "10.96.0.0/33")
	})
}
