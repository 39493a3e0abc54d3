package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

func compile(t testing.TB, pkg string, flags ...string) plugin.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	if b, err := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, flags...), "-o", out, pkg)...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return plugin.Module{Digest: v1alpha1.DigestOf(b), Bytes: b}
}

func newHost(t *testing.T, change ...func(*process.Config)) (h *process.Host, dir string) {
	t.Helper()
	dir = t.TempDir()
	c := process.Config{Dir: dir}
	for _, f := range change {
		f(&c)
	}
	h, err := process.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h, dir
}

func open(t *testing.T, h *process.Host, m plugin.Module) plugin.Instance {
	t.Helper()
	in, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: plugin.Limits{CallTimeout: 20 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return in
}

// try has the plugin try something, and returns how it went.
func try(t *testing.T, in plugin.Instance, act string) string {
	t.Helper()
	resp, err := in.Call(t.Context(), wire.OpValidate, ask(act))
	if err != nil {
		t.Fatalf("%s: %v", act, err)
	}
	v := wire.NewReader(resp).Verdict()
	return v.Message
}

// TestConfined: what a plugin process may not do.
func TestConfined(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	abstract, err := net.Listen("unix", fmt.Sprintf("@pintle-test-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	h, _ := newHost(t)
	in := open(t, h, compile(t, "./testdata/escape"))
	for act, want := range map[string]string{
		"truncate": "operation not permitted", "grow": "operation not permitted|file too large", "seal": "operation not permitted",
		"read " + secret: "no such file", "read /etc/shadow": "no such file", "read /proc/1/environ": "done",
		"list /": "^bin dev lib.* proc run tmp usr$", "list /run": "^plugin$",
		"write /tmp/x": "done", "write /usr/x": "read-only|permission denied",
		"dial tcp/" + tcp.Addr().String():       "network is unreachable|refused",
		"dial unix/" + abstract.Addr().String(): "refused",
		"userns":                                "operation not permitted|no space left",
		"setuid":                                "invalid argument|not permitted", "mount": "not permitted",
		"share shared": "not permitted", "share stack": "not permitted", "map /dev/zero": "no such file|not permitted", "memfd": "not permitted",
		"shmget": "not permitted", "msgget": "not permitted", "semget": "not permitted", "space": "cannot allocate", "outlive": "not permitted",
		"descriptors": `^(/dev/null|/memfd|pipe|socket|anon_inode| )+$`,
	} {
		if got := try(t, in, act); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q, want %q", act, got, want)
		}
	}
	if got := try(t, in, "fill /tmp"); !strings.Contains(got, "no space left") {
		t.Errorf("fill /tmp: %q", got)
	}
	if got := try(t, in, "bomb"); !regexp.MustCompile(`^0 processes, then: .*not permitted`).MatchString(got) {
		t.Errorf("fork bomb: %q", got)
	}
}

// TestIdentity: an unprivileged user in namespaces of its own, another for each
// instance.
func TestIdentity(t *testing.T) {
	h, dir := newHost(t)
	m := compile(t, "./testdata/escape")
	open(t, h, m)
	open(t, h, m)
	users := map[string]bool{}
	list := pids(t, dir)
	if len(list) != 2 {
		t.Fatalf("processes %v, want two", list)
	}
	for _, pid := range list {
		b, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			t.Fatal(err)
		}
		status := map[string]string{}
		for line := range strings.Lines(string(b)) {
			k, v, _ := strings.Cut(line, ":")
			status[k] = strings.TrimSpace(v)
		}
		for k, want := range map[string]string{"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000",
			"CapAmb": "0000000000000000", "CapBnd": "0000000000000000", "NoNewPrivs": "1", "Groups": ""} {
			if status[k] != want && (k != "Groups" || os.Geteuid() == 0) {
				t.Errorf("%s is %q, want %q", k, status[k], want)
			}
		}
		if os.Geteuid() == 0 {
			if f := strings.Fields(status["Uid"]); len(f) != 4 || f[0] == "0" || f[0] != f[1] || f[1] != f[2] || f[2] != f[3] {
				t.Errorf("users %q", status["Uid"])
			}
			if users[status["Uid"]] {
				t.Errorf("two instances are user %s", status["Uid"])
			}
			users[status["Uid"]] = true
		}
		for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts"} {
			ours, err := os.Readlink("/proc/self/ns/" + ns)
			if err != nil {
				t.Fatal(err)
			}
			if theirs, err := os.Readlink("/proc/" + pid + "/ns/" + ns); err != nil || theirs == ours {
				t.Errorf("namespace %s: %s, ours is %s, %v", ns, theirs, ours, err)
			}
		}
	}
}

// TestNothingIsLeft: processes that a plugin started, its executable and its
// socket go with it.
func TestNothingIsLeft(t *testing.T) {
	for _, unconfined := range []bool{false, true} {
		t.Run(fmt.Sprintf("unconfined %t", unconfined), func(t *testing.T) {
			sockets := filepath.Join(t.TempDir(), "s")
			if !unconfined {
				sockets = fmt.Sprintf("/run/pintle-test-%d", os.Getpid())
				if os.Geteuid() != 0 {
					sockets = ""
				}
			}
			h, dir := newHost(t, func(c *process.Config) { c.Unconfined, c.SocketDir = unconfined, sockets })
			in := open(t, h, compile(t, "./testdata/escape"))
			pid := pids(t, dir)[0]
			act, want, number := "sleepers own", "operation not permitted", 1
			if unconfined { // one that left the group could not be found again
				act, want, number = "sleepers", "done", 4
			}
			if got := try(t, in, act); !strings.Contains(got, want) {
				t.Fatalf("children: %q, want %q", got, want)
			}
			family := group(t, pid)
			if len(family) != number {
				t.Fatalf("processes %v, want %d", family, number)
			}
			if err := in.Close(); err != nil {
				t.Fatal(err)
			}
			noProcess(t, dir)
			for _, p := range family {
				gone(t, p)
			}
			for _, d := range []string{dir, sockets} {
				if left, err := os.ReadDir(d); d != "" && err == nil && len(left) > 0 {
					t.Errorf("%s holds %v", d, left)
				}
			}
		})
	}
}

// group are the processes in a process's group.
func group(t *testing.T, pid string) (out []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it ended
		}
		// pid (name) state ppid pgrp
		rest := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(rest) > 2 && rest[2] == pid {
			out = append(out, strings.Split(f, "/")[2])
		}
	}
	return out
}

func gone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat("/proc/" + pid + "/exe"); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s is left", pid)
		}
	}
}

// TestOldFilesAreSwept: what servers before this one left goes at the start.
func TestOldFilesAreSwept(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{strings.Repeat("a", 64), ".module-123", "run/plugin-dir1/plugin2"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := process.New(process.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// TestTruncatedRegion: a plugin that cuts the shared memory off under the
// kernel, which looks at it all the time, cannot.
func TestTruncatedRegion(t *testing.T) {
	h, _ := newHost(t)
	in := open(t, h, compile(t, "./testdata/escape"))
	const size = 1 << 20
	region, err := in.Reserve(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	region[size-1] = 1
	if got := try(t, in, "truncate"); !strings.Contains(got, "not permitted") {
		t.Errorf("truncate: %q", got)
	}
	if r := in.Region(); r[size-1] != 1 { // SIGBUS, were it gone
		t.Error("the region lost its contents")
	}
	// Another region begins with zeroes.
	if region, err = in.Reserve(t.Context(), 2*size); err != nil || region[size-1] != 0 {
		t.Errorf("a new region: %v", err)
	}
}

// TestLiar: the kernel does not speak to a socket because a plugin names it.
func TestLiar(t *testing.T) {
	connected := make(chan struct{}, 16)
	serve := func(network, address string) string {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if b := make([]byte, 1); network == "unix" {
					// A connection is nothing yet; a request is.
					if n, _ := c.Read(b); n == 0 {
						_ = c.Close()
						continue
					}
				}
				_ = c.Close()
				connected <- struct{}{}
			}
		}()
		return l.Addr().String()
	}
	socket := serve("unix", filepath.Join(t.TempDir(), "s"))
	for lie, target := range map[string]string{"path": socket, "link": socket, "tcp": serve("tcp", "127.0.0.1:0")} {
		h, dir := newHost(t)
		m := compile(t, "./testdata/liar", "-ldflags=-X main.lie="+lie+" -X main.target="+target)
		_, err := h.Open(context.Background(), m, plugin.OpenOptions{})
		if !errors.Is(err, wire.ErrABI) || !regexp.MustCompile("not in the folder|listens at the plugin's socket").MatchString(err.Error()) {
			t.Errorf("%s: error %v", lie, err)
		}
		noProcess(t, dir)
	}
	select {
	case <-connected:
		t.Error("the kernel spoke to another program")
	default:
	}
}

// TestPrinted: what a plugin prints is heard, and a plugin that prints without
// end waits for nobody but itself.
func TestPrinted(t *testing.T) {
	h, _ := newHost(t)
	var log heard
	in, err := h.Open(t.Context(), build(t), plugin.OpenOptions{Log: slog.New(slog.NewTextHandler(&log, nil)), Limits: plugin.Limits{CallTimeout: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// A gigabyte does not come through in two seconds.
	if _, err := in.Call(t.Context(), wire.OpValidate, ask("output")); !errors.Is(err, wire.ErrDeadline) {
		t.Errorf("error %v, want a deadline", err)
	}
	if n := log.n.Load(); n == 0 || n > 32<<20 {
		t.Errorf("%d bytes came through", n)
	}
}

type heard struct{ n atomic.Int64 }

func (h *heard) Write(b []byte) (int, error) { h.n.Add(int64(len(b))); return len(b), nil }
