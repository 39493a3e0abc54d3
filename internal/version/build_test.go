package version_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/internal/version"
)

// TestBuild: the name of the code is the build ID that the go command tells.
func TestBuild(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "tool", "buildid", exe).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(out)); version.Build() != want {
		t.Errorf("Build is %q, the build ID %q", version.Build(), want)
	}
}
