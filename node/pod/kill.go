package pod

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// kill ends an instance whose pod lives on, or has ended by itself.
func (k *worker) kill(ctx context.Context, pod *corev1.Pod, kill plan.Kill) {
	c := podspec.Find(pod, kill.Name)
	grace := podspec.Grace(pod)
	if kill.Grace != nil {
		grace = *kill.Grace
	}
	k.event(pod, kill.Name, corev1.EventTypeNormal, "Killing", kill.Message)
	running := k.seen.Latest(kill.Name) != nil && k.seen.Latest(kill.Name).Phase == state.Running
	ips := k.ips()
	k.do(ctx, kill.Name, func(ctx context.Context) func() {
		err := k.stopContainer(ctx, pod, c, kill.ID, ips, time.Duration(grace)*time.Second, running)
		return func() {
			if err != nil && !errors.Is(err, context.Canceled) {
				k.log.Warn("container not stopped", "container", kill.Name, "err", err)
				k.retry(kill.Name, runError, cri.Message(err))
			}
		}
	})
}

func (k *worker) ips() []string {
	if s := k.seen.ReadySandbox(); s != nil {
		return s.IPs
	}
	return nil
}

// stopContainer runs the preStop hook and stops the container, both within
// grace, as upstream: the hook's time is taken off the container's, which gets
// two seconds at least.
func (k *worker) stopContainer(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, ips []string, grace time.Duration, running bool) error {
	if running && grace > 0 && c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		began := k.Clock.Now()
		hookCtx, cancel := context.WithTimeout(ctx, grace)
		err := k.hook(hookCtx, pod, c, id, c.Lifecycle.PreStop, ips)
		cancel()
		if err != nil && ctx.Err() == nil {
			k.event(pod, c.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: "+err.Error())
		}
		grace = max(grace-k.Clock.Since(began), 2*time.Second)
	}
	return k.Runtime.StopContainer(ctx, id, grace)
}
