package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sdk = "../../sdk"

// What is committed is what the table says.
func TestGeneratedIsCurrent(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(sdk, "wire/columns/columns.txt"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{"wire/columns", "scheduling"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "wire/columns/columns.txt"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"wire/columns/zz_columns.go", "wire/columns/zz_view.go", "scheduling/zz_columns.go"} {
		want, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(sdk, file))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what columns.txt says: run make generate", file)
		}
	}
}

func TestTableIsChecked(t *testing.T) {
	const good = "1 | a.b | AB | int64 | node.state | n.X | AB | AB | what it is\n"
	for name, x := range map[string]struct{ text, want string }{
		"good":         {good + "# a comment\n\n2 | a.c | AC | uint32 | node.key | - | - | - | what it is", ""},
		"number twice": {good + "1 | a.c | AC | int64 | node.state | n.X | - | - | x", "repeats a number or a name"},
		"falls":        {"2 | a.c | AC | int64 | node.state | n.X | - | - | x\n" + good, "repeats a number or a name"},
		"name twice":   {good + "2 | a.b | AC | int64 | node.state | n.X | - | - | x", "repeats a number or a name"},
		"type":         {"1 | a.b | AB | int32 | node.state | n.X | - | - | x", `type "int32"`},
		"no source":    {"1 | a.b | AB | int64 | node.state | - | - | - | x", `source "-"`},
		"key's source": {"1 | a.b | AB | int64 | node.key | n.X | - | - | x", `source "n.X"`},
		"fields":       {"1 | a.b | AB", "3 fields, want 9"},
		"empty field":  {"1 | a.b | AB | int64 | node.state | n.X |  | - | x", "field 7 is empty"},
		"not a number": {"x | a.b | AB | int64 | node.state | n.X | - | - | x", "invalid syntax"},
	} {
		_, err := parse(x.text)
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
}
