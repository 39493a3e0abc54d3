package lifecycle

import (
	"maps"
	"slices"
	"time"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// ending is the end of a pod that is deleted.
type ending struct {
	grace int64 // seconds
	until time.Time
	began time.Time
	told  bool // how the pod ended: nothing else is told after that
}

// shownAfter is when a long termination's intermediate states are told.
const shownAfter = 500 * time.Millisecond

// terminate brings a pod that the API wants gone to its end:
//
//  1. tasks under way are called off; what the runtime is making just then is
//     waited for;
//  2. Terminate: the balancers drop the pod; preStop hooks run and containers are
//     stopped within the grace period, sidecars after the others;
//  3. Cleanup: sandbox, volumes, cgroup and logs are removed while the last status
//     is written, and then the API's object is deleted, if it is still the same
//     pod.
//
// Each task may be done again, by this agent or by its successor.
func (c *Core) terminate() time.Duration {
	now := c.in.Now
	for _, name := range slices.Sorted(maps.Keys(c.tasks.busy)) {
		if name != TerminateTask {
			c.tasks.cancel(name)
		}
	}
	c.setGrace()
	if c.tasks.busy[TerminateTask] {
		if !c.ending.told && now.Sub(c.ending.began) > shownAfter {
			c.publish(plan.Plan{})
		}
		return idle
	}
	if len(c.tasks.busy) > 0 {
		return idle // their ends wake us
	}
	if again := c.held(TerminateTask); !again.IsZero() {
		return until(now, again)
	}
	c.tasks.start(Terminate{Pod: c.in.Pod, Observed: c.in.Observed, Until: c.ending.until})
	return idle
}

// setGrace begins the grace period. It may come to be shorter, never longer.
func (c *Core) setGrace() {
	// At least a second, as upstream: a preStop hook may run that long.
	grace := max(podspec.Grace(c.in.Pod), 1)
	end := c.in.Now.Add(time.Duration(grace) * time.Second)
	switch {
	case c.ending == nil:
		c.ending = &ending{grace: grace, until: end, began: c.in.Now}
		delete(c.holds.until, TerminateTask) // of tearing down a pod that had ended by itself
	case grace < c.ending.grace:
		c.ending.grace = grace
		if end.Before(c.ending.until) {
			c.ending.until = end
			c.tasks.emit(Shorten{end})
		}
		delete(c.holds.until, TerminateTask)
	}
}

// cleanup is the second half of the end.
func (c *Core) cleanup(last *state.Pod) {
	e := Cleanup{Pod: c.in.Pod, Last: last}
	if !c.in.Gone {
		s := c.statusOf(plan.Plan{}, last, true)
		if c.cfg.Refused != nil {
			s = rejected(&c.in, c.cfg.Refused)
		}
		c.status, e.Status, c.ending.told = &s, &s, true
	}
	c.tasks.start(e)
}
