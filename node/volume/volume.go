// Package volume makes the volumes of pods on this node: it creates, fills,
// keeps up to date, mounts and removes them, below one directory per pod. It
// knows the volume kinds that need no driver: emptyDir, hostPath, configMap,
// secret, downwardAPI, projected, and persistent volumes that are directories
// of this node.
//
// Everything can be done again: Prepare on a pod whose volumes stand writes
// only what changed, so a restarted agent needs no memory of what it did.
// Calls for one pod must not overlap; calls for different pods may.
package volume

import (
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
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
)

// Token is a service account's token, bound to a pod.
type Token struct {
	Value   string
	Expires time.Time
}

// Config of a Manager.
type Config struct {
	// Root holds a directory per pod; required.
	Root string
	// Sources finds ConfigMaps and Secrets; required.
	Sources podspec.Sources
	// Token asks for a token for the pod's service account.
	Token func(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) (Token, error)
	// Claim finds the persistent volume bound to a claim.
	Claim func(ctx context.Context, namespace, name string) (*corev1.PersistentVolume, error)
	// RecursiveReadOnly tells whether the runtime can make mounts below the
	// read-only ones of a pod read-only too; nil means never.
	RecursiveReadOnly func(ctx context.Context, pod *corev1.Pod) (bool, error)
	// Node is read by the downward API; it is called at each use.
	Node func() *podspec.Node
	// Clock is the real one when nil.
	Clock clock.PassiveClock
	// Log may be nil.
	Log *slog.Logger
}

// Manager makes volumes.
type Manager struct {
	cfg Config

	mu     sync.Mutex
	tokens map[tokenKey]heldToken // guarded by mu
}

type tokenKey struct {
	pod      types.UID
	audience string
	seconds  int64
}

type heldToken struct {
	Token
	renew time.Time
}

// New makes a manager.
func New(cfg Config) *Manager {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, tokens: map[tokenKey]heldToken{}}
}

// Dir is the directory of a pod.
func (m *Manager) Dir(pod types.UID) string { return filepath.Join(m.cfg.Root, string(pod)) }

func (m *Manager) volumeDir(pod types.UID, name string) string {
	return filepath.Join(m.Dir(pod), "volumes", name)
}

// Error says which volume could not be made.
type Error struct {
	Volume string
	Err    error
}

// Error is in upstream's words, which people search for.
func (e *Error) Error() string {
	return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", e.Volume, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Prepare brings all volumes of a pod up to date. It returns when they should
// be again, because a token runs out; zero for never.
//
// # Errors
//
// *Error for the first volume that failed, wrapping *podspec.MissingError when
// it refers to something that does not exist yet.
func (m *Manager) Prepare(ctx context.Context, pod *corev1.Pod) (renew time.Time, err error) {
	if err := os.MkdirAll(filepath.Join(m.Dir(pod.UID), "volumes"), 0o750); err != nil {
		return renew, fmt.Errorf("pod directory: %w", err)
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		at, err := m.prepare(ctx, pod, v)
		if err != nil {
			return renew, &Error{v.Name, err}
		}
		if !at.IsZero() && (renew.IsZero() || at.Before(renew)) {
			renew = at
		}
	}
	return renew, nil
}

func (m *Manager) prepare(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (renew time.Time, err error) {
	dir := m.volumeDir(pod.UID, v.Name)
	switch {
	case v.EmptyDir != nil:
		return renew, emptyDir(dir, pod, v.EmptyDir)
	case v.HostPath != nil:
		return renew, hostPath(v.HostPath)
	case v.PersistentVolumeClaim != nil:
		_, err = m.claimed(ctx, pod, v.PersistentVolumeClaim.ClaimName)
		return renew, err
	case v.Ephemeral != nil:
		_, err = m.claimed(ctx, pod, pod.Name+"-"+v.Name)
		return renew, err
	case v.Image != nil:
		return renew, nil // the runtime's, at each container
	}
	c, err := m.content(ctx, pod, v)
	if err != nil {
		return renew, err
	}
	if c.memory {
		if err := onTmpfs(dir, maxContent); err != nil {
			return renew, err
		}
	}
	return c.renew, writeAtomically(dir, c.files, fsGroup(pod))
}

// source is where a volume lies on the node.
func (m *Manager) source(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (string, error) {
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path, nil
	case v.PersistentVolumeClaim != nil:
		return m.claimed(ctx, pod, v.PersistentVolumeClaim.ClaimName)
	case v.Ephemeral != nil:
		return m.claimed(ctx, pod, pod.Name+"-"+v.Name)
	}
	return m.volumeDir(pod.UID, v.Name), nil
}

// claimed finds the directory of a claim's volume.
func (m *Manager) claimed(ctx context.Context, pod *corev1.Pod, claim string) (string, error) {
	if m.cfg.Claim == nil {
		return "", errors.New("persistent volumes are not available on this node")
	}
	pv, err := m.cfg.Claim(ctx, pod.Namespace, claim)
	if err != nil {
		return "", err
	}
	switch {
	case pv.Spec.HostPath != nil:
		return pv.Spec.HostPath.Path, hostPath(pv.Spec.HostPath)
	case pv.Spec.Local != nil:
		if _, err := os.Stat(pv.Spec.Local.Path); err != nil {
			return "", fmt.Errorf("local volume %s: %w", pv.Name, err)
		}
		return pv.Spec.Local.Path, nil
	}
	return "", fmt.Errorf("persistent volume %s: its kind is not supported on this node", pv.Name)
}

// TearDown unmounts and removes everything of a pod. A pod without anything is
// no error.
func (m *Manager) TearDown(pod types.UID) error {
	m.mu.Lock()
	for k := range m.tokens {
		if k.pod == pod {
			delete(m.tokens, k)
		}
	}
	m.mu.Unlock()
	dir := m.Dir(pod)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// What is mounted must be gone before anything is removed: it may be
	// somebody's data.
	if err := mount.DetachBelow(dir); err != nil {
		return fmt.Errorf("volumes of pod %s: %w", pod, err)
	}
	if left, err := mount.Below(dir); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("volumes of pod %s: %v still mounted", pod, left))
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("volumes of pod %s: %w", pod, err)
	}
	return nil
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
