package kerneltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Kubectl builds upstream's kubectl, from the module that the kinds come from, once in a
// process, and returns a path of it. A machine need not have one.
func Kubectl(t testing.TB) string {
	t.Helper()
	path, err := builtKubectl()
	if err != nil {
		t.Fatalf("build kubectl: %v", err)
	}
	return path
}

// builtKubectl keeps the program open instead of its file: it is gone with the process.
var builtKubectl = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kubectl")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "kubectl")
	// `go run` keeps what it has linked, which `go build` does not: packages that are
	// tested after the first copy it.
	if out, err := exec.Command("go", "run", "-exec", "cp", "k8s.io/kubernetes/cmd/kubectl", path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	if kubectlFile, err = os.Open(path); err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), kubectlFile.Fd()), nil
})

var kubectlFile *os.File
