// Command lightgen writes the light API types under sdk/api from the sources
// of k8s.io/api and k8s.io/apimachinery: the same names, fields and JSON tags,
// comments cut to their first sentence, and no code. A plugin that uses them
// is a fifth of the size of one that imports k8s.io/api.
//
//	go run ./internal/lightgen -out sdk/api
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// source is one upstream package and where its light form goes.
type source struct {
	module, dir string
	out         string   // below -out
	group       string   // "" for core
	only        []string // types to take with what they need; nil: all
	doc         string
}

var sources = []source{
	{module: "k8s.io/apimachinery", dir: "pkg/apis/meta/v1", out: "meta/v1", doc: "metadata that every object carries",
		only: []string{"TypeMeta", "ListMeta", "ObjectMeta", "LabelSelector", "Condition", "DeleteOptions", "DeletionPropagation", "Status", "StatusReason", "GroupResource"}},
	{module: "k8s.io/api", dir: "core/v1", out: "core/v1", doc: "the core group"},
	{module: "k8s.io/api", dir: "apps/v1", out: "apps/v1", group: "apps", doc: "the apps group"},
	{module: "k8s.io/api", dir: "batch/v1", out: "batch/v1", group: "batch", doc: "the batch group"},
	{module: "k8s.io/api", dir: "discovery/v1", out: "discovery/v1", group: "discovery.k8s.io", doc: "the discovery.k8s.io group"},
	{module: "k8s.io/api", dir: "coordination/v1", out: "coordination/v1", group: "coordination.k8s.io", doc: "the coordination.k8s.io group"},
	{module: "k8s.io/api", dir: "networking/v1", out: "networking/v1", group: "networking.k8s.io", doc: "the networking.k8s.io group"},
	{module: "k8s.io/api", dir: "rbac/v1", out: "rbac/v1", group: "rbac.authorization.k8s.io", doc: "the rbac.authorization.k8s.io group"},
	{module: "k8s.io/api", dir: "policy/v1", out: "policy/v1", group: "policy", doc: "the policy group"},
	{module: "k8s.io/api", dir: "autoscaling/v1", out: "autoscaling/v1", group: "autoscaling", doc: "the autoscaling group, version 1"},
	{module: "k8s.io/api", dir: "authentication/v1", out: "authentication/v1", group: "authentication.k8s.io", doc: "the authentication.k8s.io group", only: []string{"TokenRequest"}},
	{module: "k8s.io/api", dir: "storagemigration/v1", out: "storagemigration/v1", group: "storagemigration.k8s.io", doc: "the storagemigration.k8s.io group"},
	{module: "k8s.io/api", dir: "autoscaling/v2", out: "autoscaling/v2", group: "autoscaling", doc: "the autoscaling group, version 2"},
}

func main() {
	out := flag.String("out", "sdk/api", "folder to write to")
	flag.Parse()
	for _, s := range sources {
		if err := run(s, *out); err != nil {
			fmt.Fprintf(os.Stderr, "lightgen: %s/%s: %v\n", s.module, s.dir, err)
			os.Exit(1)
		}
	}
}

func run(s source, out string) error {
	dir, version, err := module(s.module)
	if err != nil {
		return err
	}
	p, err := load(filepath.Join(dir, s.dir))
	if err != nil {
		return err
	}
	text, err := p.render(s, version)
	if err != nil {
		return err
	}
	to := filepath.Join(out, s.out)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "zz_generated.types.go"), text, 0o644)
}

// module finds the source folder of a module.
func module(path string) (dir, version string, err error) {
	b, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}\n{{.Version}}", path).Output()
	if err != nil {
		return "", "", fmt.Errorf("go list -m %s: %w", path, err)
	}
	dir, version, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
	return dir, version, nil
}
