package pod

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/state"
)

// Pauses between tries of something that failed for another reason than a
// crash or a pull, which have back-offs of their own.
const (
	firstRetry = 500 * time.Millisecond
	maxRetry   = 30 * time.Second
)

// retry holds something back after a failure, longer each time.
func (k *worker) retry(name, reason, message string) {
	d := min(firstRetry<<min(k.tries[name], 10), maxRetry)
	k.tries[name]++
	k.hold(name, k.Clock.Now().Add(d), reason, message)
}

func (k *worker) hold(name string, until time.Time, reason, message string) {
	k.holds[name] = plan.Hold{Until: until, Reason: reason, Message: message}
	k.failures[name] = plan.Waiting{Reason: reason, Message: message}
}

// clear forgets failures, after a success.
func (k *worker) clear(name string) {
	delete(k.holds, name)
	delete(k.failures, name)
	delete(k.tries, name)
}

// clearHolds lets everything that waits for the given reason be tried at once.
func (k *worker) clearHolds(reason string) {
	for name, h := range k.holds {
		if h.Reason == reason {
			delete(k.holds, name)
			delete(k.tries, name)
		}
	}
}

// pullShown is how long a failed pull is shown as such, before it is shown as
// waiting for the next.
const pullShown = 2 * time.Second

// pullFailure is a pull that the puller backs off from.
type pullFailure struct {
	image   string
	message string
	at      time.Time
}

// agePulls turns failed pulls into waiting ones, as upstream shows them, and
// returns when the next will have to be.
func (k *worker) agePulls(pod *corev1.Pod, now time.Time) (wake time.Time) {
	for name, f := range k.pulls {
		h, held := k.holds[name]
		if !held || h.Reason != image.ErrImagePull {
			delete(k.pulls, name)
			continue
		}
		if at := f.at.Add(pullShown); now.Before(at) {
			if wake.IsZero() || at.Before(wake) {
				wake = at
			}
			continue
		}
		text := fmt.Sprintf("Back-off pulling image %q", f.image)
		k.event(pod, name, corev1.EventTypeNormal, "BackOff", text)
		k.hold(name, h.Until, image.ImagePullBackOff, text+": "+image.ErrImagePull+": "+f.message)
		delete(k.pulls, name)
	}
	return wake
}

// tellCrashes records an event for each instance whose end begins a back-off.
func (k *worker) tellCrashes(pod *corev1.Pod, seen *state.Pod, p plan.Plan) {
	for name, w := range p.Waiting {
		last := seen.Latest(name)
		if w.Reason != plan.CrashLoopBackOff || last == nil || k.crashed[name] == last.ID {
			continue
		}
		k.crashed[name] = last.ID
		k.event(pod, name, corev1.EventTypeWarning, "BackOff",
			fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", name, pod.Name, pod.Namespace, pod.UID))
	}
}
