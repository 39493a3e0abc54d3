package attach

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mounted reports whether dir is on a BPF file system.
//
// # Errors
//
// An error wraps [os.ErrNotExist] when there is no such directory.
func Mounted(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Type) == unix.BPF_FS_MAGIC, nil
}

// Mount makes dir a directory on a BPF file system, mounting one if it is not.
func Mount(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ok, err := Mounted(dir)
	if ok || err != nil {
		return err
	}
	if err := unix.Mount("bpffs", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system on %s: %w", dir, err)
	}
	return nil
}

// Unmount undoes Mount and removes dir, which must hold no pins any more.
func Unmount(dir string) error {
	// EINVAL: not a mount point of its own, but in somebody else's file system.
	if err := unix.Unmount(dir, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
