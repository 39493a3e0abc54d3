package kernel

import (
	"syscall"
	"testing"
)

// The lock of a data directory is given up even while a child that is being
// started holds the file, as between fork and exec.
func TestDirectoryIsFreeAfterClose(t *testing.T) {
	dir := t.TempDir()
	first, err := openIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(int(first.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(child) }()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := openIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second.Name != first.Name {
		t.Errorf("the directory names %q, then %q", first.Name, second.Name)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
