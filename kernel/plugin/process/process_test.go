package process_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

func build(t *testing.T) plugin.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), "hostile")
	if b, err := exec.CommandContext(t.Context(), "go", "build", "-o", out, "../wasm/testdata/hostile/cmd/hostile").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return plugin.Module{Digest: v1alpha1.DigestOf(b), Bytes: b}
}

func ask(name string) []byte {
	return wire.AppendReview(nil, wire.ReviewHeader{Operation: "CREATE", Name: name}, nil, nil)
}

// TestHostile: a plugin that misbehaves is killed, the fault says why, and no
// process is left behind.
func TestHostile(t *testing.T) {
	m := build(t)
	dir := t.TempDir()
	h, err := process.New(process.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	limits := plugin.Limits{MemoryPages: 4096, CallTimeout: 500 * time.Millisecond}
	for _, c := range []struct {
		name  string
		limit time.Duration
		want  error
		text  string
	}{
		{"loop", 0, wire.ErrDeadline, "no answer within 500ms"},
		{"sleep", 0, wire.ErrDeadline, ""},
		{"goroutine loop", 0, wire.ErrDeadline, ""},
		{"memory", 30 * time.Second, wire.ErrMemory, "more than 256 MiB"},
		{"panic", 10 * time.Second, wire.ErrTrap, "as told: panic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := limits
			if c.limit > 0 {
				l.CallTimeout = c.limit
			}
			in, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: l})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if in.Memory() == 0 {
				t.Error("a running process takes no memory")
			}
			_, err = in.Call(t.Context(), wire.OpValidate, ask(c.name))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %v with %q", err, c.want, c.text)
			}
			if _, err := in.Call(t.Context(), wire.OpValidate, ask("")); !errors.Is(err, wire.ErrClosed) {
				t.Errorf("call after the fault: %v, want ErrClosed", err)
			}
		})
	}
	noProcess(t, dir)
}

// TestKilled: a process that dies by itself is a trap, and the environment of
// the kernel is not the plugin's.
func TestKilled(t *testing.T) {
	m := build(t)
	dir := t.TempDir()
	h, err := process.New(process.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET_TOKEN", "abc")
	in, err := h.Open(t.Context(), m, plugin.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	pid := pids(t, dir)
	if len(pid) != 1 {
		t.Fatalf("processes %v, want one", pid)
	}
	env, err := os.ReadFile("/proc/" + pid[0] + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(env), "SECRET_TOKEN") {
		t.Error("the plugin has the kernel's environment")
	}
	if err := exec.CommandContext(t.Context(), "kill", "-9", pid[0]).Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Call(t.Context(), wire.OpValidate, ask("")); !errors.Is(err, wire.ErrTrap) {
		t.Errorf("error %v, want a trap", err)
	}
	noProcess(t, dir)
}

func TestNotAPlugin(t *testing.T) {
	h, err := process.New(process.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("/bin/false")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bytes []byte
		text  string
	}{
		"text":      {[]byte("hello"), "not an executable"},
		"wasm":      {[]byte("\x00asm\x01\x00\x00\x00"), "not an executable"},
		"script":    {[]byte("#!/bin/sh\nexit 1\n"), "not an executable"},
		"a program": {program, "not a Pintle plugin"},
	} {
		_, err := h.Open(context.Background(), plugin.Module{Digest: v1alpha1.DigestOf(c.bytes), Bytes: c.bytes}, plugin.OpenOptions{})
		if !errors.Is(err, wire.ErrABI) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: error %v, want %q", name, err, c.text)
		}
	}
}

// pids are the processes whose executable lies in dir.
func pids(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, dir+"/") {
			out = append(out, filepath.Base(filepath.Dir(l)))
		}
	}
	return out
}

func noProcess(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		left := pids(t, dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v are left", left)
		}
	}
}
