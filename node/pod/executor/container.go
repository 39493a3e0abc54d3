package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Reasons of containers that wait because something failed.
const (
	createConfigError = lifecycle.ConfigError
	createError       = "CreateContainerError"
	runError          = "RunContainerError"
)

// Failure is why a container was not started.
type Failure struct {
	// Reason is what its status tells.
	Reason string
	Err    error
	// Until is when the puller tries again; zero for another failure.
	Until time.Time
}

// Mounter tells what a container mounts of its pod's volumes; *volume.Manager
// is one.
type Mounter interface {
	Mounts(ctx context.Context, pod *corev1.Pod, c *corev1.Container, env *podspec.Env, ips []string) ([]*runtimeapi.Mount, error)
	TerminationLog(pod *corev1.Pod, c *corev1.Container, restarts int32) (string, error)
	ReadFile(pod *corev1.Pod, volume, path string) ([]byte, error)
}

// Starter makes instances of containers and starts them.
type Starter struct {
	Runtime interface {
		CreateContainer(ctx context.Context, sandbox string, cfg *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) (string, error)
		StartContainer(ctx context.Context, id string) error
		StopContainer(ctx context.Context, id string, grace time.Duration) error
		RemoveContainer(ctx context.Context, id string) error
	}
	Images  *Images
	Volumes Mounter
	Sources podspec.Sources
	Hooks   *Hooks
	Events  Events
	Groups  Groups
	Slots   Slots
	// Node describes the node; it is called at each use.
	Node func() *podspec.Node
	// Services lists the Services known to the node.
	Services func() []*corev1.Service
	Log      *slog.Logger
}

// Start makes an instance and starts it. It returns when the instance runs and
// its postStart hook has ended, with nil.
func (s *Starter) Start(ctx context.Context, a lifecycle.StartContainer) *Failure {
	pod, c, ips := a.Pod, a.Container, a.Sandbox.IPs
	if a.Replace != "" {
		if err := s.Runtime.RemoveContainer(ctx, a.Replace); err != nil {
			return &Failure{Reason: createError, Err: err}
		}
	}
	img, fail := s.Images.ensure(ctx, pod, c)
	if fail != nil {
		return fail
	}
	volumes, fail := s.Images.volumes(ctx, pod, c)
	if fail != nil {
		return fail
	}
	cfg, err := s.config(ctx, &a, img)
	if err != nil {
		return callFailed(ctx, s.Events, pod, c, createConfigError, err)
	}
	release, err := s.Slots.acquire(ctx)
	if err != nil {
		return &Failure{Reason: createError, Err: err}
	}
	nameImages(cfg.Mounts, volumes)
	id, fail := s.createAndStart(ctx, &a, cfg)
	release()
	if fail != nil {
		return fail
	}
	if c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
		s.postStart(ctx, pod, c, id, ips)
	}
	return nil
}

// config puts together what the runtime is asked for.
func (s *Starter) config(ctx context.Context, a *lifecycle.StartContainer, img *cri.Image) (*runtimeapi.ContainerConfig, error) {
	node, pod, c, ips := s.Node(), a.Pod, a.Container, a.Sandbox.IPs
	env, err := podspec.Environment(pod, c, node, ips, s.Services(), s.Sources, s.Volumes)
	if err != nil {
		return nil, err
	}
	mounts, err := s.Volumes.Mounts(ctx, pod, c, env, ips)
	if err != nil {
		return nil, err
	}
	in := podspec.Instance{Restarts: a.Restarts, BackOff: a.BackOff, ImageRef: img.ID, Env: env, Mounts: mounts,
		ImageUser: podspec.User{UID: img.UID, Name: img.User}, Target: a.Target}
	if c.TerminationMessagePath != "" {
		if in.TerminationLog, err = s.Volumes.TerminationLog(pod, c, a.Restarts); err != nil {
			return nil, fmt.Errorf("termination message: %w", err)
		}
	}
	cfg, err := podspec.Container(pod, c, node, in)
	if err == nil && a.Round > 0 {
		cfg.Annotations[state.AnnotationRound] = strconv.Itoa(int(a.Round))
	}
	return cfg, err
}

func (s *Starter) createAndStart(ctx context.Context, a *lifecycle.StartContainer, cfg *runtimeapi.ContainerConfig) (string, *Failure) {
	pod, c := a.Pod, a.Container
	sandboxCfg, err := podspec.Sandbox(pod, s.Node(), s.Groups.Of(pod.UID), a.Sandbox.Attempt)
	if err != nil {
		return "", callFailed(ctx, s.Events, pod, c, createError, err)
	}
	id, err := s.Runtime.CreateContainer(ctx, a.Sandbox.ID, cfg, sandboxCfg)
	if err != nil {
		s.Images.Puller.Forget(c.Image) // perhaps somebody removed it
		return "", callFailed(ctx, s.Events, pod, c, createError, err)
	}
	s.Events.Tell(pod, c.Name, corev1.EventTypeNormal, "Created", "Container created")
	if err := s.Runtime.StartContainer(ctx, id); err != nil {
		return "", callFailed(ctx, s.Events, pod, c, runError, err)
	}
	s.Events.Tell(pod, c.Name, corev1.EventTypeNormal, "Started", "Container started")
	return id, nil
}

// callFailed tells of a failed call, unless it was called off.
// RATIONALE.md: "Why are calls that make something not called off?"
func callFailed(ctx context.Context, events Events, pod *corev1.Pod, c *corev1.Container, reason string, err error) *Failure {
	if ctx.Err() != nil {
		return &Failure{Reason: reason, Err: context.Canceled}
	}
	events.Tell(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: "+cri.Message(err))
	return &Failure{Reason: reason, Err: errors.New(cri.Message(err))}
}

// postStart runs the hook; if it fails the container is killed.
func (s *Starter) postStart(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, ips []string) {
	err := s.Hooks.run(ctx, pod, c, id, c.Lifecycle.PostStart, ips)
	if err == nil || ctx.Err() != nil {
		return
	}
	s.Events.Tell(pod, c.Name, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: "+err.Error())
	s.Events.Tell(pod, c.Name, corev1.EventTypeNormal, "Killing", "FailedPostStartHook")
	grace := max(time.Duration(podspec.Grace(pod))*time.Second, minGrace)
	if err := s.Runtime.StopContainer(ctx, id, grace); err != nil && ctx.Err() == nil {
		s.Log.Warn("container not stopped", "namespace", pod.Namespace, "name", pod.Name, "uid", pod.UID, "container", c.Name, "error", err)
	}
}
