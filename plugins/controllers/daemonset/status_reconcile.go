package daemonset

import (
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
)

// count is the status that the DaemonSet deserves, and when a pod that is ready
// becomes available.
func (s *state) count() (status appsv1.DaemonSetStatus, wait time.Duration) {
	status = s.set.Status
	status.DesiredNumberScheduled, status.CurrentNumberScheduled, status.NumberMisscheduled = 0, 0, 0
	status.NumberReady, status.UpdatedNumberScheduled, status.NumberAvailable = 0, 0, 0
	for i, pods := range s.pods {
		if s.minReady > 0 {
			wait = s.ripens(pods, wait)
		}
		if !s.verdicts[i].run {
			if len(pods) > 0 {
				status.NumberMisscheduled++
			}
			continue
		}
		status.DesiredNumberScheduled++
		if len(pods) == 0 {
			continue
		}
		status.CurrentNumberScheduled++
		if len(pods) > 1 {
			byAge(pods)
		}
		p := pods[0]
		if left, ok := p.availableIn(s.minReady, s.now); ok {
			status.NumberReady++
			if left == 0 {
				status.NumberAvailable++
			}
		}
		if s.updated(p) {
			status.UpdatedNumberScheduled++
		}
	}
	status.NumberUnavailable = status.DesiredNumberScheduled - status.NumberAvailable
	return status, wait
}

// ripens is when the next of pods that are ready becomes available, if that is before
// wait; 0 is never.
func (s *state) ripens(pods []*pod, wait time.Duration) time.Duration {
	for _, p := range pods {
		if left, ok := p.availableIn(s.minReady, s.now); ok && left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return wait
}

// sameStatus compares what the controller writes.
func sameStatus(a, b appsv1.DaemonSetStatus) bool {
	collisions := func(s *appsv1.DaemonSetStatus) int32 {
		if s.CollisionCount == nil {
			return 0
		}
		return *s.CollisionCount
	}
	return a.ObservedGeneration == b.ObservedGeneration && a.DesiredNumberScheduled == b.DesiredNumberScheduled &&
		a.CurrentNumberScheduled == b.CurrentNumberScheduled && a.NumberMisscheduled == b.NumberMisscheduled &&
		a.NumberReady == b.NumberReady && a.UpdatedNumberScheduled == b.UpdatedNumberScheduled &&
		a.NumberAvailable == b.NumberAvailable && a.NumberUnavailable == b.NumberUnavailable && collisions(&a) == collisions(&b)
}
