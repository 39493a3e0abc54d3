package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Sandboxes makes and removes sandboxes and what belongs to them on the node.
type Sandboxes struct {
	Runtime interface {
		RunSandbox(ctx context.Context, cfg *runtimeapi.PodSandboxConfig, handler string) (string, error)
		StopSandbox(ctx context.Context, id string) error
		RemoveSandbox(ctx context.Context, id string) error
		RemoveContainer(ctx context.Context, id string) error
	}
	// Classes are the cluster's RuntimeClasses.
	Classes interface {
		Get(ctx context.Context, name string, o metav1.GetOptions) (*nodev1.RuntimeClass, error)
	}
	Volumes Volumes
	Groups  Groups
	Slots   Slots
	// PIDs bounds the tasks of a pod; 0 means no limit.
	PIDs int64
	// Node describes the node; it is called at each use.
	Node func() *podspec.Node
}

// Create makes a sandbox; the rests of those before go first.
func (s *Sandboxes) Create(ctx context.Context, a lifecycle.CreateSandbox) error {
	pod := a.Pod
	release, err := s.Slots.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	for _, id := range a.Old {
		if err := s.Runtime.StopSandbox(ctx, id); err != nil {
			return err
		}
	}
	group := s.Groups.Of(pod.UID)
	if err := s.Groups.System.Create(group); err != nil {
		return err
	}
	if err := s.Groups.System.Limit(group, podspec.PodLimits(pod, s.PIDs)); err != nil {
		return err
	}
	node := s.Node()
	if err := os.MkdirAll(podspec.LogDirectory(node.Logs, pod), 0o755); err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	handler, err := s.handler(ctx, pod)
	if err != nil {
		return err
	}
	cfg, err := podspec.Sandbox(pod, node, group, a.Attempt)
	if err != nil {
		return err
	}
	_, err = s.Runtime.RunSandbox(ctx, cfg, handler)
	return err
}

// handler is the runtime's name for the pod's RuntimeClass.
func (s *Sandboxes) handler(ctx context.Context, pod *corev1.Pod) (string, error) {
	if pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers {
		// Older runtimes ignore the wish, which is worse than to refuse it.
		return "", errors.New("user namespaces (hostUsers: false) are not supported on this node")
	}
	name := pod.Spec.RuntimeClassName
	if name == nil || *name == "" {
		return "", nil
	}
	class, err := s.Classes.Get(ctx, *name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("runtime class: %w", err)
	}
	return class.Handler, nil
}

// RemoveDead removes instances, with their logs, and sandboxes. It tries all.
func (s *Sandboxes) RemoveDead(ctx context.Context, a lifecycle.RemoveDead) error {
	var errs []error
	for _, c := range a.Containers {
		err := s.Runtime.RemoveContainer(ctx, c.ID)
		if err == nil {
			removeLog(c.LogPath)
		}
		errs = append(errs, err)
	}
	for _, id := range a.Sandboxes {
		errs = append(errs, s.Runtime.RemoveSandbox(ctx, id))
	}
	return errors.Join(errs...)
}

// removeLog removes the log of an instance with its rotated parts.
func removeLog(path string) {
	if path == "" {
		return
	}
	files, err := filepath.Glob(path + ".*")
	if err != nil {
		files = nil
	}
	for _, f := range append(files, path) {
		_ = os.Remove(f)
	}
}

// Free stops sandboxes and removes the pod's volumes and group. What the runtime
// knows of containers stays.
func (s *Sandboxes) Free(ctx context.Context, pod types.UID, sandboxes []string) error {
	for _, id := range sandboxes {
		if err := s.Runtime.StopSandbox(ctx, id); err != nil {
			return err
		}
	}
	if err := s.Volumes.TearDown(ctx, pod); err != nil {
		return err
	}
	if err := s.Groups.Kill(ctx, pod); err != nil {
		return err
	}
	return s.Groups.Remove(pod)
}

// Remove removes a pod, nothing of which runs any more, from the runtime.
func (s *Sandboxes) Remove(ctx context.Context, p *state.Pod) error {
	for _, x := range p.Sandboxes {
		if err := s.Runtime.RemoveSandbox(ctx, x.ID); err != nil {
			return err
		}
	}
	for _, c := range p.Containers { // of sandboxes that were lost
		if err := s.Runtime.RemoveContainer(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

// killTimeout bounds the wait for killed processes to be gone.
const killTimeout = 30 * time.Second
