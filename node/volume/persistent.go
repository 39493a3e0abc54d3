package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/volume/driver"
)

// misplaced is why a persistent volume is not for this node.
type misplaced struct {
	persistent string
	err        error
}

func (e *misplaced) Error() string {
	return fmt.Sprintf("MountVolume.NodeAffinity check failed for volume %q : %v", e.persistent, e.err)
}

func (e *misplaced) Unwrap() error { return e.err }

// admit refuses a persistent volume that is not for this node, and writes down of one
// that is, before anything is made, that the pod has it. What a pod has stays its
// own, whatever becomes of the node's labels.
func (m *Manager) admit(ctx context.Context, r *driver.Request) error {
	record := filepath.Join(m.records(r.Pod.UID, r.Volume.Name), r.Persistent.Name)
	if _, err := os.Lstat(record); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if m.cfg.Fits != nil {
		if err := m.cfg.Fits(ctx, r.Persistent); err != nil {
			return &misplaced{r.Persistent.Name, err}
		}
	}
	if err := os.MkdirAll(filepath.Dir(record), 0o750); err != nil {
		return err
	}
	return os.WriteFile(record, nil, 0o640)
}

// records has a file, by its name, for each persistent volume that a volume of a pod
// is or was.
func (m *Manager) records(pod types.UID, volume string) string {
	return filepath.Join(m.Dir(pod), "persistent", volume)
}

// Known tells whether it is known what a claimed volume of a pod is: Has speaks of it.
// It is not before the first Prepare.
func (m *Manager) Known(pod *corev1.Pod, volume string) bool {
	_, err := os.Lstat(m.records(pod.UID, volume))
	return err == nil
}

// Has tells whether some pod has a persistent volume: from before it is made until
// TearDown has succeeded, whatever the API says meanwhile and whichever agent made it.
func (m *Manager) Has(persistent string) (bool, error) {
	all, err := filepath.Glob(filepath.Join(escape(m.cfg.Root), "*", "persistent", "*", escape(persistent)))
	return len(all) > 0, err
}
