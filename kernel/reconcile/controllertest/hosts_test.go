package controllertest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"

	_ "github.com/pintle-io/pintle/plugins/standard"
)

const module = "github.com/pintle-io/pintle/plugins/cmd/standard"

func nativeHost(testing.TB) host { return host{name: "native", Host: native.Host{}} }

func wasmHost(t testing.TB) host {
	t.Helper()
	h, err := wasm.New(t.Context(), wasm.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return host{"wasm", h, build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared", "-ldflags=-s -w")}
}

func processHost(t testing.TB) host {
	t.Helper()
	h, err := process.New(process.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return host{"process", h, build(t, nil)}
}

// build compiles the module of the controllers, as the release does.
func build(t testing.TB, env []string, args ...string) plugin.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), "controllers")
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", out}, args...), module)...)
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
