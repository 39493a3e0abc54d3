package lifecycle_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the expected logs of the scenarios")

// TestScenarios plays each scenario of testdata: a pod, a script of what happens
// to it, and the log of what its Core asks for. world says what the commands
// are. With -update the logs are written; read what has changed in them.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) { play(t, f) })
	}
}

func play(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) *txtar.File {
		for i := range ar.Files {
			if ar.Files[i].Name == name {
				return &ar.Files[i]
			}
		}
		t.Fatalf("%s lacks %s", file, name)
		return nil
	}
	w := newWorld()
	if err := yaml.UnmarshalStrict(part("pod").Data, w.pod); err != nil {
		t.Fatal(err)
	}
	w.begin(nil)
	sc := bufio.NewScanner(strings.NewReader(string(part("script").Data)))
	for sc.Scan() {
		if f := strings.Fields(sc.Text()); len(f) > 0 {
			w.say("> %s", sc.Text())
			if err := w.command(f); err != nil {
				t.Fatalf("%s: %v\n%s", sc.Text(), err, w.log.String())
			}
		}
	}
	want := part("log")
	if *update {
		want.Data = []byte(w.log.String())
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(want.Data), w.log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func (w *world) say(format string, args ...any) { fmt.Fprintf(&w.log, format+"\n", args...) }
