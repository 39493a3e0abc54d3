package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

func TestOneClusterOfAMachine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "owner")
	a, b := paths.Dir(t.TempDir()), paths.Dir(t.TempDir())
	if err := claim(file, a); err != nil {
		t.Fatalf("first claim: %v", err)
	}
	if err := claim(file, b); err != nil {
		t.Errorf("claim over a cluster that does not run: %v", err)
	}
	if err := claim(file, a); err != nil {
		t.Fatal(err)
	}
	lock, err := daemon.Lock(a.Lock())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := claim(file, b); err == nil || !strings.Contains(err.Error(), string(a)) {
		t.Errorf("claim over a running cluster: %v, want a refusal that names %s", err, a)
	}
	if err := mayTouch(file, b); err == nil {
		t.Error("another directory may clean up while a cluster runs")
	}
	if err := mayTouch(file, a); err != nil {
		t.Errorf("the owner may not touch its own: %v", err)
	}
}
