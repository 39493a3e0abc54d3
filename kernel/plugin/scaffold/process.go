package scaffold

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pintle-io/pintle/sdk/process"
)

// processModule is the module that a program imports to be a process.
const processModule = "github.com/pintle-io/pintle/sdk/process"

// forProcess are the flags that build the program in dir as a process: with
// one more file, which imports the SDK's process module, and a go.mod that
// names that module and what it needs. A plugin's own go.mod so names neither
// gRPC nor go-plugin. One that imports the module itself, or comes with an SDK
// in which it is no module, is built as it is.
func forProcess(dir, name string) (flags []string, remove func(), err error) {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return nil, nil, err
	}
	_, none := os.Stat(filepath.Join(dir, processDir, "go.mod"))
	if strings.Contains(string(mod), processModule) || none != nil {
		return nil, func() {}, nil
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil && !os.IsNotExist(err) {
		return nil, nil, err
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	tmp, err := os.MkdirTemp("", "pintle-build-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { _ = os.RemoveAll(tmp) }
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(root, "cmd", name, "pintle_process.go"): filepath.Join(tmp, "process.go"),
	}})
	if err != nil {
		return nil, nil, err
	}
	needs, sums := process.Module()
	for file, content := range map[string]string{
		"process.go":   "package main\n\nimport _ \"" + processModule + "\"\n",
		"overlay.json": string(overlay),
		"go.mod":       string(mod) + requirements(needs),
		"go.sum":       string(sum) + sums,
	} {
		if err := os.WriteFile(filepath.Join(tmp, file), []byte(content), 0o600); err != nil {
			remove()
			return nil, nil, err
		}
	}
	return []string{"-mod=mod", "-modfile=" + filepath.Join(tmp, "go.mod"), "-overlay=" + filepath.Join(tmp, "overlay.json")}, remove, nil
}

// requirements names the process module, in the plugin's folder, and all that
// its go.mod needs, so that the go command has nothing to find out.
func requirements(mod string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nrequire (\n\t%s v0.0.0\n", processModule)
	for line := range strings.SplitSeq(mod, "\n") {
		if f := strings.Fields(line); strings.HasPrefix(line, "\t") && len(f) >= 2 && !strings.HasPrefix(processModule, f[0]) {
			fmt.Fprintf(&b, "\t%s %s // indirect\n", f[0], f[1])
		}
	}
	fmt.Fprintf(&b, ")\n\nreplace %s => ./%s\n", processModule, processDir)
	return b.String()
}

// goVersion is the language version of the SDK.
func goVersion() string {
	mod, _ := process.Module()
	for line := range strings.SplitSeq(mod, "\n") {
		if v, ok := strings.CutPrefix(line, "go "); ok {
			return v
		}
	}
	return ""
}
