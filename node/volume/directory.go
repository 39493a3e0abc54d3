package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
)

func fsGroup(pod *corev1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// emptyDir makes an empty directory that everybody may write to, or a memory
// file system.
func emptyDir(dir string, pod *corev1.Pod, e *corev1.EmptyDirVolumeSource) error {
	_, err := os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	switch e.Medium {
	case corev1.StorageMediumDefault:
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	case corev1.StorageMediumMemory:
		size := int64(0)
		if e.SizeLimit != nil {
			size = e.SizeLimit.Value()
		}
		if limit := podspec.MemoryLimit(pod); limit > 0 && (size == 0 || limit < size) {
			size = limit
		}
		if err := onTmpfs(dir, size); err != nil {
			return err
		}
	default:
		return fmt.Errorf("medium %q is not supported on this node", e.Medium)
	}
	if !fresh {
		return nil
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	if g := fsGroup(pod); g != nil {
		return own(dir, *g, false)
	}
	return nil
}

// onTmpfs makes dir a memory file system, once.
func onTmpfs(dir string, size int64) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	is, err := mount.IsMountPoint(dir)
	if err != nil || is {
		return err
	}
	return mount.Tmpfs(dir, size)
}

// own gives a tree to a group: the group may read, and write unless readOnly,
// and what is made in its directories belongs to the group too.
func own(dir string, group int64, readOnly bool) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(p, -1, int(group)); err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		mode := fi.Mode()
		add := fs.FileMode(0o660)
		if readOnly {
			add = 0o440
		}
		if d.IsDir() {
			add |= 0o110 | fs.ModeSetgid
		}
		return os.Chmod(p, mode|add)
	})
}

// hostPath checks, or makes, what a pod wants of the node's file system.
func hostPath(h *corev1.HostPathVolumeSource) error {
	if !filepath.IsAbs(h.Path) {
		return fmt.Errorf("hostPath %q is not absolute", h.Path)
	}
	want := corev1.HostPathUnset
	if h.Type != nil {
		want = *h.Type
	}
	fi, err := os.Stat(h.Path)
	if errors.Is(err, fs.ErrNotExist) {
		switch want {
		case corev1.HostPathUnset:
			return os.MkdirAll(h.Path, 0o755) // upstream leaves it to the runtime, which makes a directory
		case corev1.HostPathDirectoryOrCreate:
			return os.MkdirAll(h.Path, 0o755)
		case corev1.HostPathFileOrCreate:
			f, err := os.OpenFile(h.Path, os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}
		return fmt.Errorf("hostPath type check failed: %s is not a %s", h.Path, kindOf(want))
	}
	if err != nil {
		return err
	}
	if !isOfType(fi, want) {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", h.Path, kindOf(want))
	}
	return nil
}

func isOfType(fi fs.FileInfo, want corev1.HostPathType) bool {
	m := fi.Mode()
	switch want {
	case corev1.HostPathUnset:
		return true
	case corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate:
		return m.IsDir()
	case corev1.HostPathFile, corev1.HostPathFileOrCreate:
		return m.IsRegular()
	case corev1.HostPathSocket:
		return m&fs.ModeSocket != 0
	case corev1.HostPathCharDev:
		return m&fs.ModeCharDevice != 0
	case corev1.HostPathBlockDev:
		return m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0
	}
	return false
}

func kindOf(t corev1.HostPathType) string {
	switch t {
	case corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate:
		return "directory"
	case corev1.HostPathFile, corev1.HostPathFileOrCreate:
		return "file"
	case corev1.HostPathSocket:
		return "socket file"
	case corev1.HostPathCharDev:
		return "character device"
	case corev1.HostPathBlockDev:
		return "block device"
	}
	return string(t)
}
