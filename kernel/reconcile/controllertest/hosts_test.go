package controllertest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/plugins/standard"
	"github.com/pintle-io/pintle/sdk/wire"
)

const module = "github.com/pintle-io/pintle/plugins/cmd/standard"

func nativeHost(testing.TB) host { return host{name: "native", Host: native.Host{}} }

func wasmHost(t testing.TB) host {
	t.Helper()
	h, err := wasm.New(t.Context(), wasm.Config{CacheDir: filepath.Join(shared, "compiled")})
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

// shared is a directory for as long as the tests run: what is built and compiled there
// serves all of them.
var shared string

func TestMain(m *testing.M) {
	var err error
	if shared, err = os.MkdirTemp("", "controllertest"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(shared); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// built are the modules that were built, by the environment.
var built struct {
	sync.Mutex
	modules map[string]plugin.Module
}

// build compiles the module of the controllers, as the release does, once.
func build(t testing.TB, env []string, args ...string) plugin.Module {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	key := strings.Join(env, " ")
	if m, ok := built.modules[key]; ok {
		return m
	}
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
	m := plugin.Module{Digest: "sha256:" + hex.EncodeToString(sum[:]), Bytes: b}
	if built.modules == nil {
		built.modules = map[string]plugin.Module{}
	}
	built.modules[key] = m
	return m
}

// TestEveryControllerHasAScenario: of each controller that ships there is a file at
// least, in a directory of its name, that runs it.
func TestEveryControllerHasAScenario(t *testing.T) {
	for _, p := range standard.Plugins {
		loaded, err := plugin.Load(t.Context(), plugin.PluginConfig{Name: p.Name, Host: native.Host{}, Options: plugin.OpenOptions{Name: p.Member, Config: (&cluster{}).config(t, p.Name)}})
		if err != nil {
			t.Fatalf("load %s: %v", p.Name, err)
		}
		if !loaded.Manifest.Points.Has(wire.PointController) {
			continue
		}
		files, err := filepath.Glob(filepath.Join("testdata/scenarios", p.Name, "*.txt"))
		if err != nil || len(files) == 0 {
			t.Errorf("controller %s has no scenario: write one below testdata/scenarios/%s", p.Name, p.Name)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runs := regexp.MustCompile(`(?m)^run (.*)$`).FindSubmatch(text)
			if runs == nil || !slices.Contains(strings.Fields(string(runs[1])), p.Name) {
				t.Errorf("%s does not run %s", file, p.Name)
			}
		}
	}
}
