package lifecycle

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/state"
)

// tell records an event about a container, or about the pod for "".
type tell func(container, kind, reason, message string)

// pullShown is how long a failed pull is shown as such, before it is shown as
// waiting for the next.
const pullShown = 2 * time.Second

// pullFailure is a pull that the puller backs off from.
type pullFailure struct {
	image   string
	message string
	at      time.Time
}

// pulls are failed pulls by container, until they are shown as waiting.
type pulls map[string]pullFailure

// age turns failed pulls into waiting ones, as upstream shows them, and returns
// when the next will have to be.
func (p pulls) age(now time.Time, holds *holds, event tell) (wake time.Time) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		f := p[name]
		h, held := holds.until[name]
		if !held || h.Reason != image.ErrImagePull {
			delete(p, name)
			continue
		}
		if at := f.at.Add(pullShown); now.Before(at) {
			if wake.IsZero() || at.Before(wake) {
				wake = at
			}
			continue
		}
		text := fmt.Sprintf("Back-off pulling image %q", f.image)
		event(name, corev1.EventTypeNormal, "BackOff", text)
		holds.hold(name, h.Until, image.ImagePullBackOff, text+": "+image.ErrImagePull+": "+f.message)
		delete(p, name)
	}
	return wake
}

// crashes are, by container, the instances whose back-off an event told.
type crashes map[string]string

// tell records an event for each instance whose end begins a back-off.
func (c crashes) tell(in *Input, p plan.Plan, event tell) {
	pod := in.Pod
	for _, name := range slices.Sorted(maps.Keys(p.Waiting)) {
		w := p.Waiting[name]
		last := in.Observed.Latest(name)
		if w.Reason != plan.CrashLoopBackOff || last == nil || c[name] == last.ID {
			continue
		}
		c[name] = last.ID
		event(name, corev1.EventTypeWarning, "BackOff",
			fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", name, pod.Name, pod.Namespace, pod.UID))
	}
}

// mustRestart are the instances, by id, that are ended so that others take their
// place. Only the agent that ends them knows: for another one, they ended by
// themselves.
type mustRestart map[string]bool

// overlay adds to what the runtime shows what only the agent knows, and forgets
// instances that the runtime has forgotten.
func (o mustRestart) overlay(seen *state.Pod) {
	there := make(map[string]bool, len(o))
	for i := range seen.Containers {
		c := &seen.Containers[i]
		if c.MustRestart = o[c.ID]; c.MustRestart {
			there[c.ID] = true
		}
	}
	maps.DeleteFunc(o, func(id string, _ bool) bool { return !there[id] })
}
