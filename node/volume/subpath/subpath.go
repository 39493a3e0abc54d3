// Package subpath mounts parts of volumes. A container may have put links, pipes
// or anything else into a volume, and may go on changing it meanwhile: every
// path is followed beneath the volume only.
package subpath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
)

// Expand replaces the variables of a subPathExpr, which must stay relative.
func Expand(expr string, env *podspec.Env) (string, error) {
	unknown := ""
	out, err := podspec.Expand(expr, func(name string) (string, bool) {
		v, ok := env.Get(name)
		if !ok {
			unknown = name
		}
		return v, ok
	})
	if err != nil {
		return "", fmt.Errorf("subPathExpr %q: %w", expr, err)
	}
	if unknown != "" {
		return "", fmt.Errorf("missing value for %q, in subPathExpr %q", unknown, expr)
	}
	if filepath.IsAbs(out) {
		return "", fmt.Errorf("subPathExpr %q expanded to an absolute path", expr)
	}
	return out, nil
}

// Bind binds the part sub of the volume at from to target, which becomes an
// empty directory or file for that. The part is opened beneath the volume,
// whatever links a container may have put there, and bound by its open
// descriptor, so that it cannot be exchanged in between. What is missing is made
// with the volume's mode and, by its set-group bit, group: whoever may write the
// volume may write its parts. What was bound to target before is unmounted.
func Bind(from, sub, target string) error {
	root, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer root.Close()
	sub = filepath.Clean(sub)
	f, err := Open(root, sub)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDirs(root, sub); err != nil {
			return err
		}
		f, err = Open(root, sub)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := mount.Detach(target); err != nil { // of the instance before
		return err
	}
	if err := makeLike(target, fi); err != nil {
		return err
	}
	return mountFD(f, target)
}

// Open opens a part of a volume for reading. It does not wait for the other end of a pipe that a container may have
// put there.
func Open(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// makeDirs makes the directories of a path that are missing. Those that are
// there may be links within the volume; what is made is opened as it was made,
// and not what a container put in its place.
func makeDirs(root *os.Root, sub string) error {
	fi, err := root.Stat(".")
	if err != nil {
		return err
	}
	parts := strings.Split(sub, string(filepath.Separator))
	dir, err := Open(root, ".")
	for n := 1; err == nil && n <= len(parts); n++ {
		var next *os.File
		next, err = Open(root, filepath.Join(parts[:n]...))
		if errors.Is(err, fs.ErrNotExist) {
			err = makeBelow(dir, parts[n-1:], fi.Mode())
			break
		}
		if err == nil {
			_ = dir.Close()
			dir = next
		}
	}
	if dir != nil {
		_ = dir.Close()
	}
	return err
}

// makeBelow makes parts, one in the other, below dir.
func makeBelow(dir *os.File, parts []string, mode fs.FileMode) error {
	parent := int(dir.Fd())
	for i, part := range parts {
		if err := unix.Mkdirat(parent, part, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return &fs.PathError{Op: "mkdir", Path: part, Err: err}
		}
		fd, err := unix.Openat(parent, part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if i > 0 {
			_ = unix.Close(parent)
		}
		if err != nil {
			return &fs.PathError{Op: "open", Path: part, Err: err}
		}
		parent = fd
		if err := unix.Fchmod(fd, bits(mode)); err != nil { // past the umask
			_ = unix.Close(fd)
			return &fs.PathError{Op: "chmod", Path: part, Err: err}
		}
	}
	return unix.Close(parent)
}

// bits are a mode in the kernel's words.
func bits(m fs.FileMode) uint32 {
	out := uint32(m.Perm())
	for _, b := range []struct {
		is  fs.FileMode
		bit uint32
	}{{fs.ModeSetuid, unix.S_ISUID}, {fs.ModeSetgid, unix.S_ISGID}, {fs.ModeSticky, unix.S_ISVTX}} {
		if m&b.is != 0 {
			out |= b.bit
		}
	}
	return out
}

func mountFD(f *os.File, target string) error {
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", target, err)
	}
	return nil
}

// makeLike makes an empty directory or file for something to be bound upon.
func makeLike(target string, fi fs.FileInfo) error {
	if fi.IsDir() {
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.MkdirAll(target, 0o750)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(target, nil, 0o640)
}
