package testenv

import (
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of so many bytes ("200m"), to be filled, and
// returns where.
func SmallDisk(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		cannotRun(t, "mounting a tmpfs takes root: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}
