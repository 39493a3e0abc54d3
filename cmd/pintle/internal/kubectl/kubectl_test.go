package kubectl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHint: who reaches no server because $KUBECONFIG leads nowhere is told so.
func TestHint(t *testing.T) {
	dir := t.TempDir()
	there, missing := filepath.Join(dir, "there"), filepath.Join(dir, "missing")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{
		"":                         "`pintle up` starts",
		missing:                    "$KUBECONFIG is " + missing + ", and there is no such file",
		there:                      "",
		missing + ":" + there:      "",
		missing + ":" + dir + "/x": "no such file. Without it, `pintle kubectl` uses /the/default",
	} {
		got := hintFor(env, "/the/default")
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q: %q, want %q", env, got, want)
		}
	}
}
