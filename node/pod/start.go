package pod

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Reasons of containers that wait because something failed.
const (
	createConfigError = "CreateContainerConfigError"
	createError       = "CreateContainerError"
	runError          = "RunContainerError"
)

// failure is why a container was not started.
type failure struct {
	reason string
	err    error
	until  time.Time // when the puller tries again
}

// start makes an instance of a container and starts it.
func (k *worker) start(ctx context.Context, pod *corev1.Pod, s plan.Start) {
	c := podspec.Find(pod, s.Name)
	sandbox := k.seen.ReadySandbox()
	target := k.targetID(pod, s.Name)
	k.do(ctx, s.Name, func(ctx context.Context) func() {
		fail := k.startContainer(ctx, pod, c, sandbox.ID, sandbox.Attempt, sandbox.IPs, target, s)
		return func() { k.started(pod, c, fail) }
	})
}

// targetID is the instance whose processes a debug container wants to see.
func (k *worker) targetID(pod *corev1.Pod, name string) string {
	for i := range pod.Spec.EphemeralContainers {
		if e := &pod.Spec.EphemeralContainers[i]; e.Name == name && e.TargetContainerName != "" {
			if t := k.seen.Latest(e.TargetContainerName); t != nil {
				return t.ID
			}
		}
	}
	return ""
}

// started takes in how a start went.
func (k *worker) started(pod *corev1.Pod, c *corev1.Container, fail *failure) {
	switch {
	case fail == nil:
		k.clear(c.Name)
	case errors.Is(fail.err, context.Canceled):
	case !fail.until.IsZero():
		k.hold(c.Name, fail.until, fail.reason, fail.err.Error())
		if fail.reason == image.ErrImagePull {
			k.pulls[c.Name] = pullFailure{c.Image, fail.err.Error(), k.Clock.Now()}
		}
	default:
		k.retry(c.Name, fail.reason, fail.err.Error())
	}
}

func (k *worker) startContainer(ctx context.Context, pod *corev1.Pod, c *corev1.Container, sandbox string, attempt uint32, ips []string, target string, s plan.Start) *failure {
	if s.Replace != "" {
		if err := k.Runtime.RemoveContainer(ctx, s.Replace); err != nil {
			return &failure{reason: createError, err: err}
		}
	}
	img, fail := k.image(ctx, pod, c)
	if fail != nil {
		return fail
	}
	volumes, fail := k.imageVolumes(ctx, pod, c)
	if fail != nil {
		return fail
	}
	cfg, err := k.containerConfig(ctx, pod, c, img, ips, target, s)
	if err != nil {
		k.event(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: "+err.Error())
		return &failure{reason: createConfigError, err: err}
	}
	release, err := k.slot(ctx)
	if err != nil {
		return &failure{reason: createError, err: err}
	}
	nameImages(cfg.Mounts, volumes)
	id, fail := k.createAndStart(ctx, pod, c, sandbox, attempt, cfg)
	release()
	if fail != nil {
		return fail
	}
	if c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
		k.postStart(ctx, pod, c, id, ips)
	}
	return nil
}

func (k *worker) image(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (*cri.Image, *failure) {
	img, err := k.Images.Ensure(ctx, pod, c, image.Reporter{
		Pulling: func() {
			k.event(pod, c.Name, corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", c.Image))
		},
		Pulled: func(took time.Duration, size uint64) {
			text := fmt.Sprintf("Container image %q already present on machine", c.Image)
			if took > 0 {
				text = fmt.Sprintf("Successfully pulled image %q in %s. Image size: %d bytes.", c.Image, took.Round(time.Millisecond), size)
			}
			k.event(pod, c.Name, corev1.EventTypeNormal, "Pulled", text)
		},
	})
	if err == nil {
		return img, nil
	}
	var e *image.Error
	if !errors.As(err, &e) {
		return nil, &failure{reason: image.ErrImagePull, err: err}
	}
	if ctx.Err() != nil {
		return nil, &failure{reason: e.Reason, err: context.Canceled}
	}
	if e.Reason != image.ImagePullBackOff {
		k.event(pod, c.Name, corev1.EventTypeWarning, "Failed", e.Error())
		k.event(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: "+e.Reason)
	}
	return nil, &failure{reason: e.Reason, err: e.Err, until: e.Retry}
}

// containerConfig puts together what the runtime is asked for.
func (k *worker) containerConfig(ctx context.Context, pod *corev1.Pod, c *corev1.Container, img *cri.Image, ips []string, target string, s plan.Start) (*runtimeapi.ContainerConfig, error) {
	node := k.Node()
	env, err := podspec.Environment(pod, c, node, ips, k.Services(), k.Sources, k.Volumes)
	if err != nil {
		return nil, err
	}
	mounts, err := k.Volumes.Mounts(ctx, pod, c, env, ips)
	if err != nil {
		return nil, err
	}
	in := podspec.Instance{Restarts: s.Restarts, BackOff: s.BackOff, ImageRef: img.ID, Env: env, Mounts: mounts,
		ImageUser: podspec.User{UID: img.UID, Name: img.User}, Target: target}
	if c.TerminationMessagePath != "" {
		if in.TerminationLog, err = k.Volumes.TerminationLog(pod, c, s.Restarts); err != nil {
			return nil, fmt.Errorf("termination message: %w", err)
		}
	}
	cfg, err := podspec.Container(pod, c, node, in)
	if err == nil && s.Round > 0 {
		cfg.Annotations[state.AnnotationRound] = strconv.Itoa(int(s.Round))
	}
	return cfg, err
}

func (k *worker) createAndStart(ctx context.Context, pod *corev1.Pod, c *corev1.Container, sandbox string, attempt uint32, cfg *runtimeapi.ContainerConfig) (string, *failure) {
	sandboxCfg, err := podspec.Sandbox(pod, k.Node(), k.cgroup(), attempt)
	if err != nil {
		return "", k.callFailed(ctx, pod, c, createError, err)
	}
	id, err := k.Runtime.CreateContainer(ctx, sandbox, cfg, sandboxCfg)
	if err != nil {
		k.Images.Forget(c.Image) // perhaps somebody removed it
		return "", k.callFailed(ctx, pod, c, createError, err)
	}
	k.event(pod, c.Name, corev1.EventTypeNormal, "Created", "Container created")
	if err := k.Runtime.StartContainer(ctx, id); err != nil {
		return "", k.callFailed(ctx, pod, c, runError, err)
	}
	k.event(pod, c.Name, corev1.EventTypeNormal, "Started", "Container started")
	return id, nil
}

// callFailed tells of a failed call, unless it was called off.
func (k *worker) callFailed(ctx context.Context, pod *corev1.Pod, c *corev1.Container, reason string, err error) *failure {
	if ctx.Err() != nil {
		return &failure{reason: reason, err: context.Canceled}
	}
	k.event(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: "+cri.Message(err))
	return &failure{reason: reason, err: errors.New(cri.Message(err))}
}

// postStart runs the hook; if it fails the container is killed.
func (k *worker) postStart(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, ips []string) {
	err := k.hook(ctx, pod, c, id, c.Lifecycle.PostStart, ips)
	if err == nil || ctx.Err() != nil {
		return
	}
	k.event(pod, c.Name, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: "+err.Error())
	k.event(pod, c.Name, corev1.EventTypeNormal, "Killing", "FailedPostStartHook")
	grace := max(time.Duration(podspec.Grace(pod))*time.Second, minGrace)
	if err := k.Runtime.StopContainer(ctx, id, grace); err != nil && ctx.Err() == nil {
		k.log.Warn("container not stopped", "container", c.Name, "error", err)
	}
}
