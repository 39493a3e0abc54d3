package cri

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ErrExecTimeout is wrapped when a command did not end in time.
var ErrExecTimeout = errors.New("command timed out")

// ExitError is a command's own failure.
type ExitError struct {
	Code   int32
	Output []byte // standard output, then standard error
}

// Error names the exit code.
func (e *ExitError) Error() string { return fmt.Sprintf("command exited with %d", e.Code) }

// Exec runs a command in a container and returns its output, standard error
// after standard output.
//
// # Errors
//
// *ExitError when the command failed, ErrExecTimeout when it took longer than
// timeout (0 means no limit but ctx).
func (c *Client) Exec(ctx context.Context, id string, cmd []string, timeout time.Duration) ([]byte, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout+5*time.Second)
		defer cancel()
	}
	seconds := int64((timeout + time.Second - 1) / time.Second)
	r, err := c.runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: cmd, Timeout: seconds})
	if err != nil {
		if code(err) == codes.DeadlineExceeded {
			return nil, fmt.Errorf("%w after %s", ErrExecTimeout, timeout)
		}
		return nil, wrap("exec", err)
	}
	out := append(r.Stdout, r.Stderr...)
	if r.ExitCode != 0 {
		return out, &ExitError{Code: r.ExitCode, Output: out}
	}
	return out, nil
}

// Streams says which streams an exec or attach uses.
type Streams struct {
	Stdin, Stdout, Stderr, TTY bool
}

// ExecURL prepares an interactive command and returns the URL, on the
// runtime's loopback, that serves it.
func (c *Client) ExecURL(ctx context.Context, id string, cmd []string, s Streams) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := c.runtime.Exec(ctx, &runtimeapi.ExecRequest{
		ContainerId: id, Cmd: cmd, Tty: s.TTY, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr && !s.TTY})
	return r.GetUrl(), wrap("exec", err)
}

// AttachURL is ExecURL for the streams of the container's main process.
func (c *Client) AttachURL(ctx context.Context, id string, s Streams) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := c.runtime.Attach(ctx, &runtimeapi.AttachRequest{
		ContainerId: id, Tty: s.TTY, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr && !s.TTY})
	return r.GetUrl(), wrap("attach", err)
}

// PortForwardURL is ExecURL for connections into a sandbox.
func (c *Client) PortForwardURL(ctx context.Context, sandbox string, ports []int32) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := c.runtime.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: sandbox, Port: ports})
	return r.GetUrl(), wrap("port forward", err)
}
