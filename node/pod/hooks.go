package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
)

// hookTimeout bounds one request of an HTTP hook.
const hookTimeout = time.Minute

// hook runs a lifecycle hook; it takes as long as ctx allows.
func (k *worker) hook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, h *corev1.LifecycleHandler, ips []string) error {
	switch {
	case h.Exec != nil:
		out, err := k.Runtime.Exec(ctx, id, h.Exec.Command, 0)
		var exit *cri.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("command %q exited with %d: %q", h.Exec.Command, exit.Code, out[:min(len(out), 512)])
		}
		return err
	case h.HTTPGet != nil:
		u, err := probe.URL(h.HTTPGet, c, k.hookIP(pod, ips))
		if err != nil {
			return err
		}
		ok, output, err := probe.HTTP(ctx, u, h.HTTPGet.HTTPHeaders, hookTimeout)
		if err != nil {
			return err
		}
		if !ok {
			return errors.New(output)
		}
		return nil
	case h.Sleep != nil:
		t := k.Clock.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
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

func (k *worker) hookIP(pod *corev1.Pod, ips []string) string {
	if podspec.HostNetwork(pod) {
		if node := k.Node().IPs; len(node) > 0 {
			return node[0]
		}
	}
	if len(ips) > 0 {
		return ips[0]
	}
	return "127.0.0.1"
}
