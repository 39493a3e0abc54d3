package pod

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// prepareVolumes brings the volumes up to date when they have to be.
func (k *worker) prepareVolumes(ctx context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	stale := k.stale
	k.mu.Unlock()
	now := k.Clock.Now()
	due := !k.prepared || stale || !k.renew.IsZero() && !now.Before(k.renew)
	if !due || k.busy(volumeAction) || k.teared || podspec.Final(pod) {
		return
	}
	if h, ok := k.holds[volumeAction]; ok && now.Before(h.Until) && !stale {
		k.renew = h.Until
		return
	}
	k.mu.Lock()
	k.stale = false
	k.mu.Unlock()
	k.renew = time.Time{} // the end of the action says when next
	// The pod may have changed since this look at it began, and been marked:
	// the mark is taken off for what is written now.
	pod, _ = k.snapshot()
	if stale {
		k.clearHolds("CreateContainerConfigError")
	}
	k.do(ctx, volumeAction, func(ctx context.Context) func() {
		renew, err := k.Volumes.Prepare(ctx, pod)
		return func() {
			if err != nil && !errors.Is(err, context.Canceled) {
				k.event(pod, "", corev1.EventTypeWarning, "FailedMount", err.Error())
				k.retry(volumeAction, "FailedMount", err.Error())
				k.renew = k.holds[volumeAction].Until
				return
			}
			if err == nil {
				k.prepared, k.renew = true, renew
				k.clear(volumeAction)
			}
		}
	})
}
