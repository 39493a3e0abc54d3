// Package cri is a thin client of a container runtime that speaks CRI v1 over
// a unix socket: one method per call that the node agent makes, each with a
// time limit, answers translated to package state, errors to kinds. It keeps
// no state of pods.
//
// Calls that make something (RunSandbox, CreateContainer, StartContainer) are
// not called off: once begun they run to their end, whatever becomes of their
// context, so that the caller learns what there is to be removed. A runtime
// that is interrupted in between keeps tasks that its own books do not show.
// Close interrupts them.
//
// A Client may be used concurrently.
package cri

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Time limits of calls. Creation is slow on a loaded machine; the disk may
// stall for seconds.
const (
	shortTimeout  = 30 * time.Second
	createTimeout = 4 * time.Minute
	// stopSlack is what StopContainer gets beyond the grace period.
	stopSlack = 2 * time.Minute
)

const maxMessage = 64 << 20

// Client speaks to one runtime.
type Client struct {
	conn    *grpc.ClientConn
	runtime runtimeapi.RuntimeServiceClient

	// Images are the runtime's.
	Images *Images
}

// Connect makes a client of the endpoint "unix:///absolute/path". It does not
// wait for the runtime; calls fail until it is there.
func Connect(endpoint string) (*Client, error) {
	path, ok := strings.CutPrefix(endpoint, "unix://")
	if !ok || !filepath.IsAbs(path) {
		return nil, fmt.Errorf("runtime endpoint %q: want unix:///absolute/path", endpoint)
	}
	conn, err := grpc.NewClient(endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * time.Second, Backoff: reconnect}))
	if err != nil {
		return nil, fmt.Errorf("runtime endpoint %q: %w", endpoint, err)
	}
	return &Client{
		conn:    conn,
		runtime: runtimeapi.NewRuntimeServiceClient(conn),
		Images:  &Images{runtimeapi.NewImageServiceClient(conn)},
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// isNotFound reports whether a sandbox, container or image does not exist.
func isNotFound(err error) bool { return code(err) == codes.NotFound }

// IsUnavailable reports whether the runtime could not be reached.
func IsUnavailable(err error) bool { return code(err) == codes.Unavailable }

// isUnimplemented reports whether the runtime lacks the call.
func isUnimplemented(err error) bool { return code(err) == codes.Unimplemented }

func code(err error) codes.Code {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Code()
	}
	return codes.OK
}

// Message is the runtime's own words, without the transport's.
func Message(err error) string {
	if err == nil {
		return ""
	}
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Message()
	}
	return err.Error()
}

// wrap names the call; nil stays nil. A call that was called off is known by
// context.Canceled, as calls elsewhere.
func wrap(call string, err error) error {
	switch {
	case err == nil:
		return nil
	case code(err) == codes.Canceled:
		return fmt.Errorf("%s: %w", call, context.Canceled)
	}
	return fmt.Errorf("%s: %w", call, err)
}

// Version names the runtime, such as "containerd://1.6.20".
func (c *Client) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	v, err := c.runtime.Version(ctx, &runtimeapi.VersionRequest{})
	if err != nil {
		return "", wrap("runtime version", err)
	}
	return v.RuntimeName + "://" + v.RuntimeVersion, nil
}

// Health says whether the runtime and its network are ready; the text tells
// why not.
type Health struct {
	Runtime, Network bool
	Message          string
}

// Status asks the runtime for its health.
func (c *Client) Status(ctx context.Context) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := c.runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		return Health{}, wrap("runtime status", err)
	}
	var h Health
	var faults []string
	for _, cond := range r.GetStatus().GetConditions() {
		switch cond.Type {
		case runtimeapi.RuntimeReady:
			h.Runtime = cond.Status
		case runtimeapi.NetworkReady:
			h.Network = cond.Status
		}
		if !cond.Status {
			faults = append(faults, fmt.Sprintf("%s: %s", cond.Reason, cond.Message))
		}
	}
	h.Message = strings.Join(faults, "; ")
	return h, nil
}

// making is the context of a call that makes something: it ends neither with
// ctx nor soon. A call that has not begun when ctx ends is not begun.
func making(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	return ctx, cancel, nil
}

// RunSandbox makes and starts a pod's sandbox and returns its id.
func (c *Client) RunSandbox(ctx context.Context, cfg *runtimeapi.PodSandboxConfig, handler string) (string, error) {
	ctx, cancel, err := making(ctx)
	if err != nil {
		return "", wrap("run sandbox", err)
	}
	defer cancel()
	r, err := c.runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg, RuntimeHandler: handler})
	return r.GetPodSandboxId(), wrap("run sandbox", err)
}

// StopSandbox stops a sandbox, its containers and its network. Stopping it
// again is no error.
func (c *Client) StopSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, err := c.runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
	return ignoreNotFound("stop sandbox", err)
}

// RemoveSandbox removes a sandbox and its containers.
func (c *Client) RemoveSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, err := c.runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
	return ignoreNotFound("remove sandbox", err)
}

// CreateContainer makes a container in a sandbox and returns its id.
func (c *Client) CreateContainer(ctx context.Context, sandbox string, cfg *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) (string, error) {
	ctx, cancel, err := making(ctx)
	if err != nil {
		return "", wrap("create container", err)
	}
	defer cancel()
	r, err := c.runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: sandbox, Config: cfg, SandboxConfig: pod})
	return r.GetContainerId(), wrap("create container", err)
}

// StartContainer starts a container that was created.
func (c *Client) StartContainer(ctx context.Context, id string) error {
	ctx, cancel, err := making(ctx)
	if err != nil {
		return wrap("start container", err)
	}
	defer cancel()
	_, err = c.runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
	return wrap("start container", err)
}

// StopContainer sends the stop signal and, after grace, SIGKILL. It returns
// when the container has ended.
func (c *Client) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+stopSlack)
	defer cancel()
	seconds := int64((grace + time.Second - 1) / time.Second)
	_, err := c.runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: seconds})
	return ignoreNotFound("stop container", err)
}

// RemoveContainer removes a container, killing it if it runs.
func (c *Client) RemoveContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, err := c.runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: id})
	return ignoreNotFound("remove container", err)
}

// UpdateResources changes the limits of a running container.
func (c *Client) UpdateResources(ctx context.Context, id string, r *runtimeapi.LinuxContainerResources) error {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	_, err := c.runtime.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: id, Linux: r})
	return wrap("update container resources", err)
}

// ReopenLog makes the runtime open the container's log file anew, after it
// was renamed.
func (c *Client) ReopenLog(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	_, err := c.runtime.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: id})
	return wrap("reopen container log", err)
}

func ignoreNotFound(call string, err error) error {
	if isNotFound(err) {
		return nil
	}
	return wrap(call, err)
}
