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

// TestNoServer: what kubectl says when nobody answers, and what it says of other things.
func TestNoServer(t *testing.T) {
	for message, want := range map[string]bool{
		"The connection to the server localhost:8080 was refused - did you specify the right host or port?": true,
		`error: error validating "a.yaml": error validating data: failed to download openapi: Get "http://localhost:8080/openapi/v2?timeout=32s": dial tcp 127.0.0.1:8080: connect: connection refused; if you choose to ignore these errors, turn validation off with --validate=false`: true,
		`error: error validating "a.yaml": error validating data: failed to download openapi: the server is currently unable to handle the request`:                                                                                                                                      false,
		`Error from server (InternalError): failed calling webhook "a.b": dial tcp 10.0.0.1:443: connect: connection refused`:                                                                                                                                                            false,
	} {
		if got := NoServer(message); got != want {
			t.Errorf("%v, want %v: %s", got, want, message)
		}
	}
}
