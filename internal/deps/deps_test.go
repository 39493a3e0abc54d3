// Package deps holds the import rule of the whole project as data
// (rules.txt) and the test that checks it against `go list`. Test files are
// not bound by the rule: a test may wire rooms together.
package deps

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

//go:embed rules.txt
var rulesText string

const module = "github.com/pintle-io/pintle"

type rule struct {
	folder   string
	ours     []string // folders of this project that may be imported
	external []string // guarded modules that may be imported
}

type rules struct {
	guarded []string
	rules   []rule
}

func parse(text string) (rules, error) {
	var r rules
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if g, ok := strings.CutPrefix(line, "guarded "); ok {
			r.guarded = append(r.guarded, g)
			continue
		}
		folder, rest, ok := strings.Cut(line, ":")
		ours, ext, ok2 := strings.Cut(rest, "|")
		if !ok || !ok2 {
			return r, fmt.Errorf("line %d: want `folder: ours | external`, have %q", n, line)
		}
		r.rules = append(r.rules, rule{folder, strings.Fields(ours), strings.Fields(ext)})
	}
	return r, nil
}

// find returns the rule with the longest folder that contains pkg.
func (r rules) find(pkg string) *rule {
	var best *rule
	for i := range r.rules {
		if x := &r.rules[i]; within(pkg, x.folder) && (best == nil || len(x.folder) > len(best.folder)) {
			best = x
		}
	}
	return best
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// check returns what is wrong with one import, or "".
func (r rules) check(pkg, imp string) string {
	x := r.find(pkg)
	if x == nil {
		return fmt.Sprintf("%s: no rule names this package; add its folder to rules.txt", pkg)
	}
	if rel, ok := strings.CutPrefix(imp, module+"/"); ok {
		in := func(f string) bool { return within(rel, f) }
		if in(x.folder) || slices.ContainsFunc(x.ours, in) {
			return ""
		}
		return fmt.Sprintf("%s imports %s, which %s may not", pkg, rel, x.folder)
	}
	for _, g := range r.guarded {
		if within(imp, g) && !slices.Contains(x.external, g) {
			return fmt.Sprintf("%s imports %s, which %s may not", pkg, imp, x.folder)
		}
	}
	return ""
}

type listed struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T, dir, goos, goarch string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports", "./...")
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v\n%s", dir, err, &stderr)
	}
	var ps []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return ps
		}
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

func TestImportRules(t *testing.T) {
	r, err := parse(rulesText)
	if err != nil {
		t.Fatal(err)
	}
	for _, build := range []struct{ dir, goos, goarch string }{
		{"../..", "linux", "amd64"},
		{"../../sdk", "linux", "amd64"},
		{"../../sdk", "wasip1", "wasm"},
	} {
		for _, p := range list(t, build.dir, build.goos, build.goarch) {
			pkg := strings.TrimPrefix(p.ImportPath, module+"/")
			if r.find(pkg) == nil {
				t.Errorf("%s: no rule names this package; add its folder to rules.txt", pkg)
			}
			for _, imp := range p.Imports {
				if msg := r.check(pkg, imp); msg != "" {
					t.Error(msg)
				}
			}
		}
	}
}

// The rule itself is tested: a check that accepts everything would pass above.
func TestCheck(t *testing.T) {
	r, err := parse(rulesText)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		pkg, imp string
		ok       bool
	}{
		{"kernel/store/embed", "go.etcd.io/etcd/server/v3/embed", true},
		{"kernel/registry", "go.etcd.io/etcd/client/v3", false},
		{"kernel/scheduler", module + "/plugins/scheduling/nodename", false},
		{"kernel/plugin/wasm", "github.com/tetratelabs/wazero/api", true},
		{"kernel/scheduler", "github.com/tetratelabs/wazero", false},
		{"plugins/controllers/deployment", module + "/sdk/api/apps", true},
		{"plugins/controllers/deployment", module + "/kernel/registry", false},
		{"plugins/resources", module + "/kernel/resource", true},
		{"plugins/scheduling/nodename", "k8s.io/kubernetes/pkg/apis/core", false},
		{"sdk/columns", module + "/kernel/plugin", false},
		{"node/service", module + "/ebpf/lb", true},
		{"node/pod", module + "/kernel/store", false},
		{"conformance", module + "/kernel", false},
		{"unheard/of", "fmt", false},
	} {
		if got := r.check(tc.pkg, tc.imp) == ""; got != tc.ok {
			t.Errorf("check(%s, %s) = %v, want %v", tc.pkg, tc.imp, got, tc.ok)
		}
	}
}
