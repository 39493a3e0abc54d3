package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/kubernetes/test/conformance/testdata"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/conformance/upstream/results"
)

// conformanceTests are the names of all of them, from upstream's list.
func conformanceTests() ([]string, error) {
	b, err := testdata.GetConformanceTestdataFS().ReadTestFile("test/conformance/testdata/conformance.yaml")
	if err != nil {
		return nil, err
	}
	var tests []struct {
		Codename string `json:"codename"`
	}
	if err := yaml.Unmarshal(b, &tests); err != nil {
		return nil, fmt.Errorf("conformance.yaml: %w", err)
	}
	names := make([]string, len(tests))
	for i, test := range tests {
		names[i] = test.Codename
	}
	return names, nil
}

func readJUnit(file string) (map[string]results.Test, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return results.ReadJUnit(f)
}

// readTable reads results.tsv; a file that is not there is an empty table.
func readTable(file string) (results.Table, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := results.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return table, nil
}

// writeTable replaces results.tsv, whole or not at all.
func writeTable(file string, table results.Table) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".results")
	if err != nil {
		return err
	}
	err = errors.Join(table.Write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// moduleDir is where the sources of a module of the graph are.
func moduleDir(ctx context.Context, module, path string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path)
	cmd.Dir = module
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}
