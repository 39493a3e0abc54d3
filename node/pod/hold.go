package pod

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/internal/backoff"
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

// retries counts the failures of something.
func (k *worker) retriesOf(name string) *backoff.Retry {
	r := k.retries[name]
	if r == nil {
		r = backoff.New(firstRetry, maxRetry)
		k.retries[name] = r
	}
	return r
}

// retry holds something back after a failure that an event tells, longer each
// time.
func (k *worker) retry(name, reason, message string) {
	k.hold(name, k.Clock.Now().Add(k.retriesOf(name).Again()), reason, message)
}

// failed is retry for a failure that only the log tells.
func (k *worker) failed(name, what string, err error, attrs ...any) {
	k.holds[name] = plan.Hold{Until: k.Clock.Now().Add(k.retriesOf(name).Failed(k.log, what, err, attrs...))}
}

func (k *worker) hold(name string, until time.Time, reason, message string) {
	k.holds[name] = plan.Hold{Until: until, Reason: reason, Message: message}
	k.failures[name] = plan.Waiting{Reason: reason, Message: message}
}

// held is when something that failed may be tried again; zero for at once.
func (k *worker) held(name string) time.Time {
	if h, ok := k.holds[name]; ok && k.Clock.Now().Before(h.Until) {
		return h.Until
	}
	return time.Time{}
}

// clear forgets failures, after a success.
func (k *worker) clear(name string) {
	delete(k.holds, name)
	delete(k.failures, name)
	if r := k.retries[name]; r != nil {
		r.Succeeded(k.log)
		delete(k.retries, name)
	}
}

// clearHolds lets everything that waits for the given reason be tried at once.
func (k *worker) clearHolds(reason string) {
	for name, h := range k.holds {
		if h.Reason == reason {
			delete(k.holds, name)
			delete(k.retries, name)
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
