// Package scaffold writes new plugins and builds them: what `pintle plugin
// new` and `pintle plugin build` do. A new plugin is a Go module of its own
// that carries the SDK's source with it, so that it builds without a network.
// RATIONALE.md: "Why a copy of the SDK in every new plugin?"
package scaffold

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/process"
)

//go:embed templates
var templates embed.FS

// Kinds of plugins that New writes.
var Kinds = []string{"scheduler", "admission", "controller", "conversion"}

// sdkDir is the folder of a plugin that holds the SDK's source. The go command
// leaves it out of ./... because it begins with a dot.
const sdkDir = ".sdk"

// processDir is the folder of the SDK's module that makes a process of a
// plugin. The plugin's go.mod does not name it: see forProcess.
const processDir = sdkDir + "/process"

// data is what the templates know.
type data struct {
	Name    string // of the plugin: "zone-fit"
	Package string // "zonefit"
	Module  string // "example.com/zone-fit"
	Kind    string
}

// New writes a plugin of the given kind into dir, which must not exist or be
// empty.
//
// # Errors
//   - an unknown kind, a name that is no DNS label, a folder that is not empty
func New(kind, name, dir string) error {
	if !contains(Kinds, kind) {
		return fmt.Errorf("kind %q is unknown: it is one of %s", kind, strings.Join(Kinds, ", "))
	}
	if faults := validation.IsDNS1123Label(name); len(faults) > 0 {
		return fmt.Errorf("plugin name %q: %s", name, strings.Join(faults, "; "))
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	d := data{Name: name, Package: packageName(name), Module: "example.com/" + name, Kind: kind}
	files := []struct{ template, to string }{
		{kind + ".go.tmpl", d.Package + ".go"},
		{kind + "_test.go.tmpl", d.Package + "_test.go"},
		{"main.go.tmpl", filepath.Join("cmd", name, "main.go")},
		{"README.md.tmpl", "README.md"},
	}
	if err := sdk.WriteSource(filepath.Join(dir, sdkDir)); err != nil {
		return err
	}
	if err := process.WriteSource(filepath.Join(dir, processDir)); err != nil {
		return err
	}
	for _, f := range files {
		if err := render(f.template, filepath.Join(dir, f.to), d); err != nil {
			return err
		}
	}
	return writeModule(dir, d)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// packageName makes a Go identifier of a DNS label.
func packageName(name string) string {
	s := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, name)
	if s[0] >= '0' && s[0] <= '9' {
		s = "p" + s
	}
	return s
}

func render(name, to string, d data) error {
	t, err := template.ParseFS(templates, "templates/"+name)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, d); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}

// writeModule writes go.mod. The SDK's source stands in the folder, and needs
// no other module.
func writeModule(dir string, d data) error {
	return os.WriteFile(filepath.Join(dir, "go.mod"), fmt.Appendf(nil, `module %s

go %s

require github.com/pintle-io/pintle/sdk v0.0.0

replace github.com/pintle-io/pintle/sdk => ./%s
`, d.Module, goVersion(), sdkDir), 0o644)
}

// Build compiles the plugin in dir for a host, "wasm" or "process", and
// returns the path of the module: <dir>/<name>.wasm or <dir>/<name>.
//
// # Errors
//   - no go command, no plugin in dir, or what the compiler says
func Build(ctx context.Context, dir, host string) (file string, err error) {
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	mains, err := filepath.Glob(filepath.Join(dir, "cmd", "*", "main.go"))
	if err != nil {
		return "", err
	}
	if len(mains) != 1 {
		return "", fmt.Errorf("%s holds %d programs under cmd, a plugin has one", dir, len(mains))
	}
	name := filepath.Base(filepath.Dir(mains[0]))
	args := []string{"build", "-trimpath", "-ldflags=-s -w"}
	env := append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out := name
	switch host {
	case "wasm":
		out += ".wasm"
		args = append(args, "-buildmode=c-shared")
		env = append(env, "GOOS=wasip1", "GOARCH=wasm")
	case "process":
		flags, remove, err := forProcess(dir, name)
		if err != nil {
			return "", err
		}
		defer remove()
		args = append(args, flags...)
	default:
		return "", fmt.Errorf("host %q is unknown: a plugin is built for wasm or process", host)
	}
	args = append(args, "-o", out, "./cmd/"+name)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, env
	if b, err := cmd.CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("building a plugin needs the go command: https://go.dev/doc/install")
		}
		return "", fmt.Errorf("go build: %w\n%s", err, bytes.TrimSpace(b))
	}
	return filepath.Join(dir, out), nil
}
