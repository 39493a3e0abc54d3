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
	folder   []string // path elements; "*" matches any one
	exact    bool     // the package alone, nothing below it
	ours     []string // folders of this project that may be imported
	not      []string // those below them that may not
	only     bool     // no module but those in external
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
			return r, fmt.Errorf("line %d: want `folder: ours | modules`, have %q", n, line)
		}
		x := rule{external: strings.Fields(ext)}
		for _, f := range strings.Fields(ours) {
			if not, ok := strings.CutPrefix(f, "!"); ok {
				x.not = append(x.not, not)
			} else {
				x.ours = append(x.ours, f)
			}
		}
		folder, x.exact = strings.CutPrefix(folder, "=")
		x.folder = strings.Split(folder, "/")
		if len(x.external) > 0 && x.external[0] == "only" {
			x.only, x.external = true, x.external[1:]
		}
		r.rules = append(r.rules, x)
	}
	return r, nil
}

// match returns the folder of pkg that x is about, and whether there is one.
func (x *rule) match(pkg string) (string, bool) {
	elems := strings.Split(pkg, "/")
	n := len(x.folder)
	if len(elems) < n || x.exact && len(elems) > n {
		return "", false
	}
	for i, want := range x.folder {
		if want != "*" && want != elems[i] {
			return "", false
		}
	}
	return strings.Join(elems[:n], "/"), true
}

// closer says whether x fits better than y, when both match: the longer
// folder, then the one about a single package, then the one without a star.
func (x *rule) closer(y *rule) bool {
	if a, b := len(x.folder), len(y.folder); a != b {
		return a > b
	}
	if x.exact != y.exact {
		return x.exact
	}
	return !slices.Contains(x.folder, "*")
}

// find returns the rule that binds pkg and pkg's own folder under it.
func (r rules) find(pkg string) (best *rule, own string) {
	for i := range r.rules {
		x := &r.rules[i]
		if f, ok := x.match(pkg); ok && (best == nil || x.closer(best)) {
			best, own = x, f
		}
	}
	if best != nil && best.exact {
		own = ""
	}
	return best, own
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// check returns what is wrong with one import, or "".
func (r rules) check(pkg, imp string) string {
	x, own := r.find(pkg)
	if x == nil {
		return fmt.Sprintf("%s: no rule names this package; add its folder to rules.txt", pkg)
	}
	if rel, ok := strings.CutPrefix(imp, module+"/"); ok {
		in := func(f string) bool { return within(rel, f) }
		if !slices.ContainsFunc(x.not, in) && (own != "" && in(own) || slices.ContainsFunc(x.ours, in)) {
			return ""
		}
		return fmt.Sprintf("%s imports %s, which the rule of %s forbids", pkg, rel, strings.Join(x.folder, "/"))
	}
	in := func(m string) bool { return within(imp, m) }
	first, _, _ := strings.Cut(imp, "/")
	standard := !strings.Contains(first, ".")
	if standard || slices.ContainsFunc(x.external, in) || !x.only && !slices.ContainsFunc(r.guarded, in) {
		return ""
	}
	return fmt.Sprintf("%s imports %s, which the rule of %s forbids", pkg, imp, strings.Join(x.folder, "/"))
}

type listed struct {
	Dir, ImportPath, Doc               string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports                            []string
}

// name is the package's path in this project.
func (p listed) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func list(t *testing.T, dir, goos, goarch string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=Dir,ImportPath,Doc,GoFiles,TestGoFiles,XTestGoFiles,Imports", "./...")
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

// builds are the modules of this project, for every platform they have files for.
var builds = []struct{ dir, goos, goarch string }{
	{"../..", "linux", "amd64"},
	{"../../sdk", "linux", "amd64"},
	{"../../sdk", "wasip1", "wasm"},
	{"../../sdk/process", "linux", "amd64"},
	{"../../sdk/process", "wasip1", "wasm"},
}

func TestImportRules(t *testing.T) {
	r, err := parse(rulesText)
	if err != nil {
		t.Fatal(err)
	}
	for _, build := range builds {
		for _, p := range list(t, build.dir, build.goos, build.goarch) {
			pkg := p.name()
			if x, _ := r.find(pkg); x == nil {
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

// Who writes a plugin for WASM downloads no other module than the SDK.
func TestSDKNeedsNoModule(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "all")
	cmd.Dir = "../../sdk"
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)), module+"/sdk"; got != want {
		t.Errorf("the SDK's modules are\n%s\nwant %s alone", got, want)
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
		{"plugins/kinds", module + "/kernel/resource", true},
		{"plugins/kinds", module + "/plugins/kinds/apps", true},
		{"plugins/kinds/apps", module + "/plugins/kinds/kind", true},
		{"plugins/kinds/apps", module + "/plugins/kinds/core", false},
		{"plugins/kinds/kind", module + "/plugins/kinds/podtemplate", false},
		{"plugins/scheduling/nodename", "k8s.io/kubernetes/pkg/apis/core", false},
		{"sdk/wire/columns", module + "/kernel/plugin", false},
		{"node/service", module + "/ebpf/lb", true},
		{"node/pod", module + "/kernel/store", false},
		{"conformance", module + "/kernel", false},
		{"unheard/of", "fmt", false},
		{"kernel", module + "/kernel/store/embed", true},
		{"kernel/unheard", "fmt", false},
		{"plugins/scheduling/nodename", module + "/sdk", true},
		{"plugins/scheduling/nodename", module + "/sdk/scheduling/vector", true},
		{"plugins/scheduling/nodename", module + "/sdk/wire/columns", false},
		{"plugins/scheduling/nodename", module + "/plugins/scheduling/nodeaffinity", false},
		{"plugins/scheduling", module + "/plugins/scheduling/nodeaffinity", true},
		{"plugins/scheduling/cmd/scheduling", module + "/plugins/scheduling", true},
		{"plugins/standard", module + "/plugins/kinds", false},
		{"plugins/controllers/deployment", "k8s.io/client-go/kubernetes", false},
		{"sdk", "k8s.io/api/core/v1", false},
		{"sdk", "encoding/json", true},
		{"sdk/process", "google.golang.org/grpc/codes", true},
		{"conformance", "k8s.io/client-go/rest", true},
		{"conformance", "github.com/spf13/cobra", false},
	} {
		if got := r.check(tc.pkg, tc.imp) == ""; got != tc.ok {
			t.Errorf("check(%s, %s) = %v, want %v", tc.pkg, tc.imp, got, tc.ok)
		}
	}
}
