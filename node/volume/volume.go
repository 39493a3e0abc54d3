// Package volume keeps the volumes of the pods on this node: it has them made
// and kept up to date by the driver of their kind, tells what a container is to
// mount, and removes everything of a pod that is gone. Each pod has one
// directory:
//
//	volumes/NAME                        what drivers make
//	subpaths/NAME/CONTAINER/N           parts of volumes, bound there
//	containers/NAME/N, etc-hosts        files of the agent's own
//	staged/NAME.json                    what must be undone elsewhere
//	persistent/NAME/VOLUME              which persistent volume it is
//
// A kind of volume is a driver (package driver) in a package of its own below
// this one; Standard lists those that ship.
//
// Everything can be done again: Prepare on a pod whose volumes stand writes
// only what changed, so a restarted agent needs no memory of what it did.
// Calls of Prepare and TearDown for one pod must not overlap; others may.
package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume/driver"
)

// Config of a Manager.
type Config struct {
	// Root holds a directory per pod; required.
	Root string
	// Staging holds a directory per volume that pods share; required with a
	// driver.Staged.
	Staging string
	// Drivers make the volumes: the first that supports one does. Required.
	Drivers []driver.Driver
	// Claim finds the persistent volume bound to a claim of a pod, which is the pod's
	// own for an ephemeral volume; nil: there are none.
	Claim func(ctx context.Context, pod *corev1.Pod, name string, ephemeral bool) (*corev1.PersistentVolume, error)
	// Fits is why a persistent volume is not for this node; nil: all are.
	Fits func(ctx context.Context, v *corev1.PersistentVolume) error
	// RecursiveReadOnly tells whether the runtime can make mounts below the
	// read-only ones of a pod read-only too; nil means never.
	RecursiveReadOnly func(ctx context.Context, pod *corev1.Pod) (bool, error)
	// Node is read for the hosts file; it is called at each use. Required.
	Node func() *podspec.Node
	// Log is told of records that are corrupt; nil: nobody is.
	Log *slog.Logger
}

// Manager keeps volumes.
type Manager struct {
	cfg    Config
	staged stages

	mu    sync.Mutex
	ready map[types.UID]map[string]driver.Mount // guarded by mu
}

// New makes a manager.
func New(cfg Config) *Manager {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, staged: stages{root: cfg.Root, dir: cfg.Staging, log: cfg.Log}, ready: map[types.UID]map[string]driver.Mount{}}
}

// Dir is the directory of a pod.
func (m *Manager) Dir(pod types.UID) string { return filepath.Join(m.cfg.Root, string(pod)) }

// Error says which volume could not be made.
type Error struct {
	Volume string
	Err    error
}

// Error is in upstream's words, which people search for.
func (e *Error) Error() string {
	if _, ok := errors.AsType[*unknown](e.Err); ok {
		return fmt.Sprintf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], failed to process volumes=[%s]: %v", e.Volume, e.Volume, e.Err)
	}
	if m, ok := errors.AsType[*misplaced](e.Err); ok {
		return m.Error()
	}
	return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", e.Volume, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// unknown is why it is not known yet what a volume is.
type unknown struct{ error }

func (e *unknown) Unwrap() error { return e.error }

// Prepare brings all volumes of a pod up to date; one that fails does not keep
// the others from it. It returns when they should be again, because a token runs
// out; zero for never.
//
// # Errors
//
// *Error for the first volume that failed, wrapping *podspec.MissingError when
// it refers to something that does not exist yet.
func (m *Manager) Prepare(ctx context.Context, pod *corev1.Pod) (renew time.Time, err error) {
	if err := os.MkdirAll(filepath.Join(m.Dir(pod.UID), "volumes"), 0o750); err != nil {
		return renew, fmt.Errorf("pod directory: %w", err)
	}
	var first error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		at, err := m.prepare(ctx, pod, v)
		switch {
		case ctx.Err() != nil && err != nil:
			return time.Time{}, &Error{v.Name, err}
		case err != nil:
			first = cmp.Or[error](first, &Error{v.Name, err})
		}
		if !at.IsZero() && (renew.IsZero() || at.Before(renew)) {
			renew = at
		}
	}
	if first != nil {
		return time.Time{}, first
	}
	return renew, nil
}

func (m *Manager) prepare(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (renew time.Time, err error) {
	r := &driver.Request{Pod: pod, Dir: filepath.Join(m.Dir(pod.UID), "volumes", v.Name)}
	if r.Spec, err = m.spec(ctx, pod, v); err != nil {
		return renew, err
	}
	d, err := m.driver(r.Spec)
	if err != nil {
		return renew, err
	}
	if r.Persistent != nil {
		if err := m.admit(ctx, r); err != nil {
			return renew, err
		}
	}
	var mounted driver.Mount
	if s, ok := d.(driver.Staged); ok {
		mounted, err = m.staged.setup(ctx, s, r, m.stagedDriver)
	} else {
		mounted, err = d.Setup(ctx, r)
	}
	if err != nil {
		return renew, err
	}
	mounted.ReadOnly = mounted.ReadOnly || r.ReadOnly
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ready[pod.UID] == nil {
		m.ready[pod.UID] = make(map[string]driver.Mount, len(pod.Spec.Volumes))
	}
	m.ready[pod.UID][v.Name] = mounted
	return mounted.Renew, nil
}

// spec finds out what a volume is: what is claimed the API knows.
func (m *Manager) spec(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (driver.Spec, error) {
	s := driver.Spec{Volume: v}
	claim := ""
	switch {
	case v.PersistentVolumeClaim != nil:
		claim, s.ReadOnly = v.PersistentVolumeClaim.ClaimName, v.PersistentVolumeClaim.ReadOnly
	case v.Ephemeral != nil:
		claim = pod.Name + "-" + v.Name
	default:
		return s, nil
	}
	if m.cfg.Claim == nil {
		return s, errors.New("persistent volumes are not available on this node")
	}
	var err error
	if s.Persistent, err = m.cfg.Claim(ctx, pod, claim, v.Ephemeral != nil); err != nil {
		return s, &unknown{err}
	}
	return s, nil
}

func (m *Manager) driver(s driver.Spec) (driver.Driver, error) {
	for _, d := range m.cfg.Drivers {
		if d.Supports(s) {
			return d, nil
		}
	}
	if s.Persistent != nil {
		return nil, fmt.Errorf("persistent volume %s: its kind is not supported on this node", s.Persistent.Name)
	}
	return nil, errors.New("its kind is not supported on this node")
}

// mounted is a volume of a pod as Prepare left it.
func (m *Manager) mounted(pod types.UID, name string) (driver.Mount, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.ready[pod][name]
	if !ok {
		return v, &Error{name, errors.New("it is not prepared")}
	}
	return v, nil
}

// TearDown unmounts and removes everything of a pod. A pod without anything is
// no error.
func (m *Manager) TearDown(ctx context.Context, pod types.UID) error {
	m.forget(pod)
	dir := m.Dir(pod)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := m.unmount(ctx, dir); err != nil {
		return fmt.Errorf("volumes of pod %s: %w", pod, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("volumes of pod %s: %w", pod, err)
	}
	return nil
}

func (m *Manager) forget(pod types.UID) {
	m.mu.Lock()
	delete(m.ready, pod)
	m.mu.Unlock()
	for _, d := range m.cfg.Drivers {
		if f, ok := d.(driver.Forgetter); ok {
			f.Forget(pod)
		}
	}
}

// unmount sees to it that nothing is mounted below a pod's directory. What is
// mounted must be gone before anything is removed: it may be somebody's data.
func (m *Manager) unmount(ctx context.Context, dir string) error {
	// Parts of volumes keep what they are parts of in use.
	if err := mount.DetachBelow(filepath.Join(dir, "subpaths")); err != nil {
		return err
	}
	if err := m.staged.tearDown(ctx, dir, m.stagedDriver); err != nil {
		return err
	}
	if err := mount.DetachBelow(dir); err != nil {
		return err
	}
	if left, err := mount.Below(dir); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("%v still mounted", left))
	}
	return nil
}

func (m *Manager) stagedDriver(name string) (driver.Staged, error) {
	for _, d := range m.cfg.Drivers {
		if s, ok := d.(driver.Staged); ok && d.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("its driver %q is not on this node", name)
}

// Pods lists the pods that have a directory.
func (m *Manager) Pods() ([]types.UID, error) {
	entries, err := os.ReadDir(m.cfg.Root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []types.UID
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, types.UID(e.Name()))
		}
	}
	return out, nil
}
