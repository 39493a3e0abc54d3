package paths_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/spf13/pflag"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

func TestVar(t *testing.T) {
	here := t.TempDir()
	t.Chdir(here)
	var file, dir, socket, none, unset, other string
	fl := pflag.NewFlagSet("", pflag.ContinueOnError)
	paths.Var(fl, &file, "file", "", "")
	paths.Var(fl, &dir, "dir", "/default", "")
	paths.Var(fl, &socket, "socket", "", "")
	paths.Var(fl, &none, "none", "", "")
	paths.Var(fl, &unset, "unset", "/default", "")
	fl.StringVar(&other, "other", "", "")
	if err := fl.Parse([]string{"--file", "a/b", "--dir=./x/../y", "--socket", "unix:///run/x.sock", "--none=-", "--other", "o"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"--dir=" + filepath.Join(here, "y"), "--file=" + filepath.Join(here, "a/b"), "--none=-", "--socket=unix:///run/x.sock"}
	if got := paths.Given(fl); !slices.Equal(got, want) || unset != "/default" || other != "o" {
		t.Errorf("got %q, want %q; unset %q", got, want, unset)
	}
	if file != filepath.Join(here, "a/b") {
		t.Errorf("file %q", file)
	}
	if err := fl.Parse([]string{"--file="}); err != nil || file != "" {
		t.Errorf("%q, %v", file, err)
	}
}
