package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	examplesPage = "docs/examples/README.md"
	// exampleLimit bounds one example.
	exampleLimit = 8 * time.Minute
)

// testExamples does what the examples' page says, each example in a shell of its
// own. Those that neither kill nor drain a node run at the same time.
func testExamples(t *testing.T, c *cluster) {
	parts := exampleCommands(t)
	t.Run("Programs", func(t *testing.T) {
		for _, name := range []string{"queue.yaml", "cron.yaml", "load.yaml"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				example(t, c, name, parts[name])
			})
		}
	})
	t.Run("budget.yaml", func(t *testing.T) {
		kept := watchesBudget(t, c)
		example(t, c, "budget.yaml", parts["budget.yaml"])
		kept()
	})
}

// example runs the commands of one example and deletes what its file makes.
func example(t *testing.T, c *cluster, name string, commands []command) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kubectl(t, "delete", "-f", filepath.Join(root, "docs/examples", name), "--ignore-not-found", "--grace-period=1")
	})
	ctx, cancel := context.WithTimeout(t.Context(), exampleLimit)
	defer cancel()
	sh := startShell(t, ctx, root)
	sh.follow(t, ctx, examplesPage, []command{
		{text: "export KUBECONFIG=" + c.kubeconfig},
		// This lab is beside the one that a person may have.
		{text: `pintle() { if [ "$1" = lab ]; then shift; command pintle lab --dir=` + c.dir + ` "$@"; else command pintle "$@"; fi; }`},
	})
	sh.follow(t, ctx, examplesPage, commands)
}

// exampleCommands reads the page: its commands by the files that they are of. Every
// file with commands has an example here, and every file stands on the page.
func exampleCommands(t *testing.T) map[string][]command {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../..", examplesPage))
	if err != nil {
		t.Fatal(err)
	}
	all, err := consoleCommands(examplesPage, string(b))
	if err != nil {
		t.Fatal(err)
	}
	parts, title, next := map[string][]command{}, "", 0
	for i, l := range strings.Split(string(b), "\n") {
		if heading, ok := strings.CutPrefix(l, "## "); ok {
			title = heading
		}
		for ; next < len(all) && all[next].line == i+1; next++ {
			parts[title] = append(parts[title], all[next])
		}
	}
	files, err := filepath.Glob("../../docs/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		contains(t, examplesPage, string(b), "["+name+"]("+name+")")
		// The tour has the shop's.
		if has := len(parts[name]) > 0; has != slices.Contains([]string{"queue.yaml", "cron.yaml", "load.yaml", "budget.yaml"}, name) {
			t.Errorf("%s: %d commands on the page", name, len(parts[name]))
		}
	}
	return parts
}
