// Package emptydir makes emptyDir volumes: a directory that lives as long as
// its pod, on the agent's disk or in memory.
package emptydir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume/driver"
	"github.com/pintle-io/pintle/node/volume/ownership"
)

// Driver makes emptyDir volumes.
type Driver struct{}

// Name is the kind's name.
func (Driver) Name() string { return "emptyDir" }

// Supports reports whether a volume is an emptyDir.
func (Driver) Supports(s driver.Spec) bool { return s.Persistent == nil && s.Volume.EmptyDir != nil }

// Setup makes an empty directory that everybody may write to, or a memory file
// system. One that is there is left as the containers left it.
func (Driver) Setup(_ context.Context, r *driver.Request) (driver.Mount, error) {
	_, err := os.Stat(r.Dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := create(r.Dir, r.Pod, r.Volume.EmptyDir); err != nil {
		return driver.Mount{}, err
	}
	if fresh {
		if err := os.Chmod(r.Dir, 0o777); err != nil { // past the umask
			return driver.Mount{}, err
		}
		if g := ownership.FSGroup(r.Pod); g != nil {
			if err := ownership.Give(r.Dir, *g, false); err != nil {
				return driver.Mount{}, err
			}
		}
	}
	return driver.Mount{Path: r.Dir}, nil
}

func create(dir string, pod *corev1.Pod, e *corev1.EmptyDirVolumeSource) error {
	switch e.Medium {
	case corev1.StorageMediumDefault:
		return os.MkdirAll(dir, 0o777)
	case corev1.StorageMediumMemory:
		size := int64(0)
		if e.SizeLimit != nil {
			size = e.SizeLimit.Value()
		}
		if limit := podspec.MemoryLimit(pod); limit > 0 && (size == 0 || limit < size) {
			size = limit
		}
		return mount.TmpfsOnce(dir, size)
	}
	return fmt.Errorf("medium %q is not supported on this node", e.Medium)
}

var _ driver.Driver = Driver{}
