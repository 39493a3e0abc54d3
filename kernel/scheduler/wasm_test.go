package scheduler

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/plugins/scheduling"
)

// buildGuest compiles the standard set for WASM.
func buildGuest(t testing.TB) plugin.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), "scheduling.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out,
		"github.com/pintle-io/pintle/plugins/scheduling/cmd/scheduling")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return plugin.Module{Digest: "sha256:test", Bytes: b}
}

// inWASM is the standard profile on the WASM host.
func inWASM(t testing.TB) Plugin {
	t.Helper()
	h, err := wasm.New(t.Context(), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m := buildGuest(t)
	p := standard()
	p.Open = func(ctx context.Context) (plugin.Instance, error) {
		return h.Open(ctx, m, plugin.OpenOptions{Name: scheduling.Name})
	}
	return p
}

func BenchmarkFirstWASM(b *testing.B)  { benchFirst(b, inWASM(b)) }
func BenchmarkRepeatWASM(b *testing.B) { benchRepeat(b, inWASM(b)) }
