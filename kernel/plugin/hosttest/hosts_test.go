package hosttest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/hosttest"
	_ "github.com/pintle-io/pintle/kernel/plugin/hosttest/suite"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
)

// build compiles the suite's plugin, as its author would.
func build(t *testing.T, env []string, args ...string) plugin.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plugin")
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", out}, args...), "./suite/cmd/suite")...)
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return plugin.Module{Digest: "sha256:" + hex.EncodeToString(sum[:]), Bytes: b}
}

func in(h plugin.Host, m plugin.Module) hosttest.Open {
	return func(ctx context.Context, o plugin.OpenOptions) (plugin.Instance, error) { return h.Open(ctx, m, o) }
}

func TestNative(t *testing.T) { hosttest.Run(t, in(native.Host{}, plugin.Module{})) }

func TestWASM(t *testing.T) {
	m := build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared", "-ldflags=-s -w")
	h, err := wasm.New(t.Context(), wasm.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	hosttest.Run(t, in(h, m))
}

func TestProcess(t *testing.T) {
	m := build(t, nil)
	h, err := process.New(process.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Run(t, in(h, m))
}
