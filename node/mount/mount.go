// Package mount makes and finds the mounts below the node agent's own
// directories. It never touches a mount outside the directory that it is
// given.
package mount

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Below lists the mount points at dir and below it, deepest first.
func Below(dir string) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return below(b, dir), nil
}

func below(mountinfo []byte, dir string) []string {
	var out []string
	for line := range bytes.Lines(mountinfo) {
		f := strings.Fields(string(line))
		if len(f) < 5 {
			continue
		}
		at := unescape(f[4])
		if at == dir || strings.HasPrefix(at, strings.TrimSuffix(dir, "/")+"/") {
			out = append(out, at)
		}
	}
	slices.Reverse(out) // later mounts lie upon earlier ones
	slices.SortStableFunc(out, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	return out
}

// unescape undoes the octal escapes of mountinfo, such as \040 for a space.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// IsMountPoint reports whether something is mounted right at path.
func IsMountPoint(path string) (bool, error) {
	all, err := Below(path)
	if err != nil {
		return false, err
	}
	return slices.Contains(all, path), nil
}

// DetachBelow unmounts everything at dir and below it, deepest first. Mounts
// in use are detached lazily.
func DetachBelow(dir string) error {
	all, err := Below(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, at := range all {
		errs = append(errs, Detach(at))
	}
	return errors.Join(errs...)
}

// Detach unmounts what is at path; no mount there is no error.
func Detach(path string) error {
	err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, syscall.EBUSY) {
		err = unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// Bind mounts from onto to, which exists and is of the same kind.
func Bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}

// Shared makes dir a mount point whose mounts propagate both ways, which
// containers with mount propagation ask for. Doing it twice is no error.
func Shared(dir string) error {
	is, err := IsMountPoint(dir)
	if err != nil {
		return err
	}
	if !is {
		if err := Bind(dir, dir); err != nil {
			return err
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share mounts of %s: %w", dir, err)
	}
	return nil
}

// Tmpfs mounts a memory file system of at most size bytes at dir. size 0
// leaves the kernel's default of half the memory.
func Tmpfs(dir string, size int64) error {
	data := ""
	if size > 0 {
		data = "size=" + strconv.FormatInt(size, 10)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOATIME, data); err != nil {
		return fmt.Errorf("mount tmpfs at %s: %w", dir, err)
	}
	return nil
}

// TmpfsOnce makes dir, and a memory file system of it if nothing is mounted
// there.
func TmpfsOnce(dir string, size int64) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	is, err := IsMountPoint(dir)
	if err != nil || is {
		return err
	}
	return Tmpfs(dir, size)
}

// Free returns the free and total bytes, and the free and total inodes, of
// the file system that holds path.
func Free(path string) (free, total, inodesFree, inodes uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, 0, 0, fmt.Errorf("statfs %s: %w", path, err)
	}
	bs := uint64(st.Bsize)
	return st.Bavail * bs, st.Blocks * bs, st.Ffree, st.Files, nil
}
