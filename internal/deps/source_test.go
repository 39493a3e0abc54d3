package deps

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files returns the syntax of the named files of p.
func (p listed) files(t *testing.T, names []string) []*ast.File {
	t.Helper()
	var out []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// calls says whether any of the files calls a method of one of these names, on
// anything but the package scheduling, whose Skip is a verdict.
func calls(files []*ast.File, methods ...string) bool {
	found := false
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if s, ok := c.Fun.(*ast.SelectorExpr); ok && slices.Contains(methods, s.Sel.Name) {
					x, _ := s.X.(*ast.Ident)
					found = found || x == nil || x.Name != "scheduling"
				}
			}
			return !found
		})
	}
	return found
}

// Every package says what it is for; one that holds only tests says it there.
func TestPackageComments(t *testing.T) {
	for _, build := range builds {
		for _, p := range list(t, build.dir, build.goos, build.goarch) {
			doc := p.Doc
			if len(p.GoFiles) == 0 {
				for _, f := range p.files(t, slices.Concat(p.TestGoFiles, p.XTestGoFiles)) {
					doc += f.Doc.Text()
				}
			}
			if strings.TrimSpace(doc) == "" {
				t.Errorf("%s has no package comment", p.name())
			}
		}
	}
}

// Only the registry writes the store: imports allow more, since others name
// the store's types or open it. transaction writes objects; view a key that is none,
// to move the store on. The keystore writes what is no object and what no verb may
// reach, below a prefix of its own (TestIndexChecks).
func TestStoreHasOneWriter(t *testing.T) {
	writers := []string{}
	for _, p := range list(t, "../..", "linux", "amd64") {
		if within(p.name(), "kernel/store") || !slices.Contains(p.Imports, module+"/kernel/store") {
			continue
		}
		if calls(p.files(t, p.GoFiles), "Commit") {
			writers = append(writers, p.name())
		}
	}
	if want := []string{"kernel/keystore", "kernel/registry/transaction", "kernel/registry/view"}; !slices.Equal(writers, want) {
		t.Errorf("the store is written by %v, want %v", writers, want)
	}
}

// No policy is asked about writes that admission.WithOwnObjects marks, and the mark
// is a value of a context that whoever imports admission can make. Who does is here
// with the reason; nobody who writes for somebody else may be.
func TestWhoPassesByPolicies(t *testing.T) {
	markers := []string{}
	for _, p := range list(t, "../..", "linux", "amd64") {
		for _, name := range p.GoFiles {
			if mentions(p.files(t, []string{name}), "WithOwnObjects") {
				markers = append(markers, p.name()+"/"+name)
			}
		}
	}
	slices.Sort(markers)
	want := []string{
		"kernel/kerneltest/kerneltest.go", // a test's lease of another leader, before any policy has been read
		"kernel/own.go",                   // what every cluster has: a policy that refused it would keep the server from starting
		"kernel/plugin/loader/events.go",  // what is said about policies' own modules
	}
	if !slices.Equal(markers, want) {
		t.Errorf("policies are passed by in %v, want %v", markers, want)
	}
}

// mentions says whether any of the files has a selector of this name: a call, or
// the function as a value.
func mentions(files []*ast.File, name string) bool {
	found := false
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			found = found || ok && s.Sel.Name == name
			return !found
		})
	}
	return found
}

// A test that cannot run where it must run has to fail, not to skip: only
// testenv decides which of the two it is.
func TestOnlyTestenvSkips(t *testing.T) {
	skippers := []string{}
	for _, build := range builds {
		for _, p := range list(t, build.dir, build.goos, build.goarch) {
			fs := p.files(t, slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles))
			if calls(fs, "Skip", "Skipf", "SkipNow") {
				skippers = append(skippers, p.name())
			}
		}
	}
	slices.Sort(skippers)
	if got, want := slices.Compact(skippers), []string{"internal/testenv"}; !slices.Equal(got, want) {
		t.Errorf("tests are skipped by %v, want %v", got, want)
	}
}
