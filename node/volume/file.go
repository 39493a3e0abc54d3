package volume

import (
	"context"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// maxFile bounds a file that is read for a pod's environment, in bytes: more
// than an environment can hold.
const maxFile = 1 << 20

// ReadFile reads a file of one of the pod's volumes. The path is followed
// beneath the volume only, whatever links a container may have put there.
func (m *Manager) ReadFile(pod *corev1.Pod, volume, path string) ([]byte, error) {
	v := findVolume(pod, volume)
	if v == nil {
		return nil, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", volume)
	}
	dir, err := m.source(context.Background(), pod, v)
	if err != nil {
		return nil, &Error{v.Name, err}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := openPart(root, path)
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
