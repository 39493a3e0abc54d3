package cri

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"google.golang.org/grpc/backoff"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/state"
)

// reconnect keeps a restart of the runtime short for its users.
var reconnect = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}

// Pods lists every pod that the runtime holds, by UID, without addresses, exit
// codes and other details: two calls in all. Sandboxes that do not name a pod
// are left out.
func (c *Client) Pods(ctx context.Context) (map[types.UID]*state.Pod, error) {
	return c.list(ctx, nil)
}

// Pod describes one pod in full. known, which may be nil, is an earlier
// answer: what cannot have changed since is taken from it.
func (c *Client) Pod(ctx context.Context, uid types.UID, known *state.Pod) (*state.Pod, error) {
	pods, err := c.list(ctx, map[string]string{state.LabelPodUID: string(uid)})
	if err != nil {
		return nil, err
	}
	p := pods[uid]
	if p == nil {
		return &state.Pod{UID: uid}, nil
	}
	for i := range p.Sandboxes {
		if err := c.describeSandbox(ctx, &p.Sandboxes[i], known); err != nil {
			return nil, err
		}
	}
	for i := range p.Containers {
		if err := c.describeContainer(ctx, &p.Containers[i], known); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (c *Client) list(ctx context.Context, labels map[string]string) (map[types.UID]*state.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	// Containers first: one whose sandbox came in between is seen next time,
	// while the other order would show containers without their sandbox.
	containers, err := c.runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{
		Filter: &runtimeapi.ContainerFilter{LabelSelector: labels}})
	if err != nil {
		return nil, wrap("list containers", err)
	}
	sandboxes, err := c.runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{
		Filter: &runtimeapi.PodSandboxFilter{LabelSelector: labels}})
	if err != nil {
		return nil, wrap("list sandboxes", err)
	}
	out := map[types.UID]*state.Pod{}
	pod := func(labels map[string]string) *state.Pod {
		uid := types.UID(labels[state.LabelPodUID])
		if out[uid] == nil {
			out[uid] = &state.Pod{UID: uid, Namespace: labels[state.LabelPodNamespace], Name: labels[state.LabelPodName]}
		}
		return out[uid]
	}
	for _, s := range sandboxes.Items {
		if s.Labels[state.LabelPodUID] == "" {
			continue
		}
		p := pod(s.Labels)
		p.Sandboxes = append(p.Sandboxes, state.Sandbox{
			ID: s.Id, Attempt: s.GetMetadata().GetAttempt(), CreatedAt: time.Unix(0, s.CreatedAt),
			Ready: s.State == runtimeapi.PodSandboxState_SANDBOX_READY})
	}
	for _, k := range containers.Containers {
		if k.Labels[state.LabelPodUID] == "" {
			continue
		}
		p := pod(k.Labels)
		p.Containers = append(p.Containers, state.Container{
			ID: k.Id, Name: k.Labels[state.LabelContainerName], SandboxID: k.PodSandboxId, Phase: phase(k.State),
			CreatedAt: time.Unix(0, k.CreatedAt), Restarts: number(k.Annotations, state.AnnotationRestartCount), Round: number(k.Annotations, state.AnnotationRound), BackOff: backOff(k.Annotations),
			Hash: k.Annotations[state.AnnotationHash], Granted: granted(k.Annotations),
			Image: k.GetImage().GetImage(), ImageRef: k.ImageRef})
	}
	for _, p := range out {
		p.Sort()
	}
	return out, nil
}

func phase(s runtimeapi.ContainerState) state.Phase {
	switch s {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		return state.Created
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return state.Running
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return state.Exited
	}
	return state.Unknown
}

func number(annotations map[string]string, name string) int32 {
	n, err := strconv.ParseInt(annotations[name], 10, 32)
	if err != nil || n < 0 {
		return 0 // made by another agent: counting starts anew
	}
	return int32(n)
}

func granted(annotations map[string]string) *corev1.ResourceRequirements {
	out := &corev1.ResourceRequirements{}
	if err := json.Unmarshal([]byte(annotations[state.AnnotationResources]), out); err != nil {
		return nil // made by another agent
	}
	return out
}

// actual is nil where a runtime does not tell (containerd before 1.6.9).
func actual(r *runtimeapi.LinuxContainerResources) *state.Limits {
	if r == nil {
		return nil
	}
	return &state.Limits{CPUShares: r.CpuShares, CPUQuota: max(r.CpuQuota, 0), CPUPeriod: r.CpuPeriod, Memory: max(r.MemoryLimitInBytes, 0)}
}

func backOff(annotations map[string]string) time.Duration {
	d, err := time.ParseDuration(annotations[state.AnnotationBackOff])
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// describeSandbox fills in addresses. They do not change while a sandbox
// lives, and are of no use afterwards.
func (c *Client) describeSandbox(ctx context.Context, s *state.Sandbox, known *state.Pod) error {
	if known != nil {
		for _, k := range known.Sandboxes {
			if k.ID == s.ID && k.Ready == s.Ready && (k.HostNetwork || len(k.IPs) > 0) {
				s.HostNetwork, s.IPs = k.HostNetwork, k.IPs
				return nil
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := c.runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: s.ID})
	if isNotFound(err) {
		s.Ready = false
		return nil
	}
	if err != nil {
		return wrap("sandbox status", err)
	}
	s.HostNetwork = r.Status.GetLinux().GetNamespaces().GetOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE
	s.Ready = r.Status.State == runtimeapi.PodSandboxState_SANDBOX_READY
	if n := r.Status.GetNetwork(); n != nil && !s.HostNetwork {
		if n.Ip != "" {
			s.IPs = append(s.IPs, n.Ip)
		}
		for _, ip := range n.AdditionalIps {
			s.IPs = append(s.IPs, ip.Ip)
		}
	}
	return nil
}

// describeContainer fills in what only ContainerStatus tells. An instance
// that has ended does not change any more.
func (c *Client) describeContainer(ctx context.Context, k *state.Container, known *state.Pod) error {
	if known != nil {
		for _, old := range known.Containers {
			if old.ID == k.ID && old.Phase == k.Phase && k.Phase == state.Exited && !old.FinishedAt.IsZero() {
				*k = old
				return nil
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := c.runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: k.ID})
	if isNotFound(err) {
		k.Phase = state.Unknown
		return nil
	}
	if err != nil {
		return wrap("container status", err)
	}
	s := r.Status
	k.Phase = phase(s.State)
	k.CreatedAt, k.StartedAt, k.FinishedAt = at(s.CreatedAt), at(s.StartedAt), at(s.FinishedAt)
	k.ExitCode, k.Reason, k.LogPath = s.ExitCode, s.Reason, s.LogPath
	k.Image, k.ImageRef, k.ImageID = s.GetImage().GetImage(), s.ImageRef, s.ImageId
	k.Message = s.Message
	k.Actual = actual(s.GetResources().GetLinux())
	k.TerminationMessagePath = s.Annotations[state.AnnotationTerminationHostPath]
	k.TerminationMessagePolicy = s.Annotations[state.AnnotationTerminationPolicy]
	return nil
}

func at(ns int64) time.Time {
	if ns <= 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
