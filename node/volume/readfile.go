package volume

import (
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/volume/subpath"
)

// maxFile bounds a file that is read for a pod's environment, in bytes: more
// than an environment can hold.
const maxFile = 1 << 20

// ReadFile reads a file of one of the pod's volumes. The path is followed
// beneath the volume only, whatever links a container may have put there.
func (m *Manager) ReadFile(pod *corev1.Pod, volume, path string) ([]byte, error) {
	if findVolume(pod, volume) == nil {
		return nil, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", volume)
	}
	v, err := m.mounted(pod.UID, volume)
	if err != nil {
		return nil, err
	}
	if v.Path == "" {
		return nil, fmt.Errorf("volume %s is not on the node: its files cannot be read", volume)
	}
	root, err := os.OpenRoot(v.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := subpath.Open(root, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s of volume %s is not a file", path, volume)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s of volume %s is larger than %d bytes", path, volume, maxFile)
	}
	return b, err
}
