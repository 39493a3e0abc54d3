package scaffold_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/scaffold"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
)

// TestTemplates writes every kind of plugin, runs its own tests, builds it for
// both hosts, and opens what was built.
func TestTemplates(t *testing.T) {
	w, err := wasm.New(t.Context(), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	p, err := process.New(process.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]plugin.Host{"wasm": w, "process": p}
	points := map[string]string{"scheduler": "Score", "admission": "Validate", "controller": "Controller", "conversion": "Convert"}
	for _, kind := range scaffold.Kinds {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "my-plugin")
			if err := scaffold.New(kind, "my-"+kind, dir); err != nil {
				t.Fatal(err)
			}
			checkFormat(t, dir)
			// With paths trimmed, as Build does it, the SDK's packages are
			// compiled once for all kinds. The module proxy is off: a plugin
			// builds without a network.
			test := exec.CommandContext(t.Context(), "go", "test", "-trimpath", "./...")
			test.Dir, test.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOPROXY=off", "GOWORK=off")
			if b, err := test.CombinedOutput(); err != nil {
				t.Fatalf("go test: %v\n%s", err, b)
			}
			for name, h := range hosts {
				file, err := scaffold.Build(t.Context(), dir, name)
				if err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				in, err := h.Open(t.Context(), plugin.Module{Digest: v1alpha1.DigestOf(b), Bytes: b}, plugin.OpenOptions{})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				m := in.Manifest()
				if m.Name != "my-"+kind || strings.Join(m.Points.Names(), ",") != points[kind] {
					t.Errorf("%s: plugin %s serves %v", name, m.Name, m.Points.Names())
				}
				if err := in.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func checkFormat(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %q, %v", files, err)
	}
	b, err := exec.CommandContext(t.Context(), "gofmt", append([]string{"-l"}, files...)...).CombinedOutput()
	if err != nil || len(b) > 0 {
		t.Errorf("gofmt would change %s (%v)", b, err)
	}
}

// TestWASMWithoutModules builds for WASM with an empty module cache: the SDK's
// own source is all that it takes.
func TestWASMWithoutModules(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	if err := scaffold.New("admission", "lonely", dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOPROXY", "off")
	if _, err := scaffold.Build(t.Context(), dir, "wasm"); err != nil {
		t.Fatal(err)
	}
}

func TestErrors(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, c := range []struct {
		err  error
		want string
	}{
		{scaffold.New("filter", "x", empty), "one of scheduler, admission, controller"},
		{scaffold.New("scheduler", "Bad_Name", empty), "Bad_Name"},
		{scaffold.New("scheduler", "x", full), "is not empty"},
		{build(t, empty, "wasm"), "holds 0 programs"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("error %v, want %q", c.err, c.want)
		}
	}
	dir := filepath.Join(t.TempDir(), "p")
	if err := scaffold.New("scheduler", "3d", dir); err != nil {
		t.Fatal(err)
	}
	if err := build(t, dir, "native"); err == nil || !strings.Contains(err.Error(), "wasm or process") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.go"), []byte("package p3d\nfunc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := build(t, dir, "process"); err == nil || !strings.Contains(err.Error(), "broken.go:2") {
		t.Errorf("error %v does not name the broken line", err)
	}
}

func build(t *testing.T, dir, host string) error {
	_, err := scaffold.Build(t.Context(), dir, host)
	return err
}
