package scheduler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/plugins/scheduling"
)

const (
	standardGuest = "github.com/pintle-io/pintle/plugins/scheduling/cmd/scheduling"
	suiteGuest    = "github.com/pintle-io/pintle/kernel/plugin/hosttest/suite/cmd/suite"
)

// buildGuest compiles a plugin as its author would.
func buildGuest(t testing.TB, pkg string, env []string, flags ...string) plugin.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), "scheduling")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
	cmd.Env = append(os.Environ(), env...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return plugin.Module{Digest: "sha256:" + hex.EncodeToString(sum[:]), Bytes: b}
}

// inWASM is the standard profile on the WASM host.
func inWASM(t testing.TB) Plugin {
	t.Helper()
	h, err := wasm.New(t.Context(), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return onHost(h, buildGuest(t, standardGuest, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared", "-ldflags=-s -w"))
}

// inProcess is the standard profile on the process host.
func inProcess(t testing.TB) Plugin {
	t.Helper()
	h, err := process.New(process.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return onHost(h, buildGuest(t, standardGuest, nil))
}

func onHost(h plugin.Host, m plugin.Module) Plugin {
	p := standard()
	p.Open = func(ctx context.Context) (plugin.Instance, error) {
		return h.Open(ctx, m, plugin.OpenOptions{Name: scheduling.Name})
	}
	return p
}

func BenchmarkFirstWASM(b *testing.B)  { benchFirst(b, inWASM(b)) }
func BenchmarkRepeatWASM(b *testing.B) { benchRepeat(b, inWASM(b)) }
