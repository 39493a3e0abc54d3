package lb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func onBPFFS(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Type) == unix.BPF_FS_MAGIC, nil
}

// mountBPFFS makes dir a directory on a BPF file system.
func mountBPFFS(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ok, err := onBPFFS(dir)
	if ok || err != nil {
		return err
	}
	if err := unix.Mount("bpffs", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system on %s: %w", dir, err)
	}
	return nil
}

// Remove takes everything of a Balancer with this PinDir out of the kernel:
// links, programs, maps, and the file system that Open mounted. It works
// whether or not its process lives, and on nothing at all. Filters that a
// Classic one attached are taken off the devices of the calling thread's
// network namespace.
func Remove(pinDir string) error {
	if err := removeClassic(); err != nil {
		return err
	}
	if pinDir == "" {
		return nil
	}
	ok, err := onBPFFS(pinDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || !ok {
		return err
	}
	pins, err := filepath.Glob(filepath.Join(pinDir, "links", "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pins {
		errs = append(errs, removeLink(p))
	}
	for _, sub := range []string{"links", "maps"} {
		errs = append(errs, os.RemoveAll(filepath.Join(pinDir, sub)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// Not a mount point of its own: somebody else's file system.
	if err := unix.Unmount(pinDir, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", pinDir, err)
	}
	if err := os.Remove(pinDir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func removeLink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return fmt.Errorf("open pinned link: %w", err)
	}
	// Detach, since another process may hold the link open. A link whose
	// cgroup or device is gone has nothing to detach from.
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOLINK) && !errors.Is(err, ErrNotSupported) {
		return errors.Join(fmt.Errorf("detach %s: %w", filepath.Base(path), err), l.Close())
	}
	return errors.Join(l.Unpin(), l.Close())
}
