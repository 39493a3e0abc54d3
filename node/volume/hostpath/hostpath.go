// Package hostpath makes hostPath volumes: parts of the node's own file system,
// named by a pod or by a persistent volume.
package hostpath

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/volume/driver"
)

// Driver makes hostPath volumes.
type Driver struct{}

// Name is the kind's name.
func (Driver) Name() string { return "hostPath" }

// Supports reports whether a volume is a hostPath.
func (Driver) Supports(s driver.Spec) bool { return source(s) != nil }

func source(s driver.Spec) *corev1.HostPathVolumeSource {
	if s.Persistent != nil {
		return s.Persistent.Spec.HostPath
	}
	return s.Volume.HostPath
}

// Setup checks that the path is of the type that is asked for, and makes what
// the type says may be made.
func (Driver) Setup(_ context.Context, r *driver.Request) (driver.Mount, error) {
	h := source(r.Spec)
	return driver.Mount{Path: h.Path}, check(h)
}

// check checks, or makes, what a pod wants of the node's file system.
func check(h *corev1.HostPathVolumeSource) error {
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

var _ driver.Driver = Driver{}
