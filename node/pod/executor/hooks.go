package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
)

// hookTimeout bounds one request of an HTTP hook.
const hookTimeout = time.Minute

// Hooks runs lifecycle hooks.
type Hooks struct {
	// Exec runs a command in a container; *cri.Client's method is one.
	Exec func(ctx context.Context, id string, command []string, timeout time.Duration) ([]byte, error)
	// NodeIPs are the node's addresses.
	NodeIPs func() []string
	Clock   clock.WithTicker
}

// run runs a hook of the instance id; it takes as long as ctx allows.
func (h *Hooks) run(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, do *corev1.LifecycleHandler, ips []string) error {
	switch {
	case do.Exec != nil:
		out, err := h.Exec(ctx, id, do.Exec.Command, 0)
		var exit *cri.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("command %q exited with %d: %q", do.Exec.Command, exit.Code, out[:min(len(out), 512)])
		}
		return err
	case do.HTTPGet != nil:
		u, err := probe.URL(do.HTTPGet, c, h.address(pod, ips))
		if err != nil {
			return err
		}
		ok, output, err := probe.HTTP(ctx, u, do.HTTPGet.HTTPHeaders, hookTimeout)
		if err != nil {
			return err
		}
		if !ok {
			return errors.New(output)
		}
		return nil
	case do.Sleep != nil:
		t := h.Clock.NewTimer(time.Duration(do.Sleep.Seconds) * time.Second)
		defer t.Stop()
		select {
		case <-t.C():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("hook without a supported handler")
}

func (h *Hooks) address(pod *corev1.Pod, ips []string) string {
	if podspec.HostNetwork(pod) {
		if node := h.NodeIPs(); len(node) > 0 {
			return node[0]
		}
	}
	if len(ips) > 0 {
		return ips[0]
	}
	return "127.0.0.1"
}
