package plan

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// within returns the newest instance of a container in the given sandbox, of
// the current round.
func (p *planner) within(name string, sandbox *state.Sandbox) *state.Container {
	if c := p.Observed.Latest(name); p.round.counts(c) && c.SandboxID == sandbox.ID {
		return c
	}
	return nil
}

// anyRegular reports whether a regular container was ever made: in sandbox,
// or in any when that is nil. Initialization is over then.
func (p *planner) anyRegular(sandbox *state.Sandbox) bool {
	for i := range p.Pod.Spec.Containers {
		c := p.Observed.Latest(p.Pod.Spec.Containers[i].Name)
		if p.round.counts(c) && (sandbox == nil || c.SandboxID == sandbox.ID) {
			return true
		}
		if p.Busy(p.Pod.Spec.Containers[i].Name) {
			return true
		}
	}
	return false
}

// initContainers brings the init containers on, in order, and reports whether
// the regular ones may start: each plain one has succeeded, each sidecar has
// started. Once regular containers exist, only sidecars are looked after.
func (p *planner) initContainers(sandbox *state.Sandbox) bool {
	done := p.anyRegular(sandbox)
	for i := range p.Pod.Spec.InitContainers {
		c := &p.Pod.Spec.InitContainers[i]
		if !podspec.IsSidecar(c) {
			if done || p.plainInit(c, sandbox) {
				continue
			}
			return false
		}
		p.supervise(c, sandbox)
		if !done && !p.sidecarStarted(c, sandbox) {
			return false
		}
	}
	return true
}

// plainInit starts an init container until it succeeds, and reports that.
func (p *planner) plainInit(c *corev1.Container, sandbox *state.Sandbox) bool {
	cur := p.within(c.Name, sandbox)
	switch {
	case p.Busy(c.Name):
		return false
	case cur != nil && cur.Phase == state.Exited && cur.ExitCode == 0:
		return true
	case cur != nil && cur.Phase == state.Running:
		return false
	case cur != nil && cur.Phase == state.Unknown:
		p.kill(unknown(cur))
		return false
	}
	p.start(c, cur)
	return false
}

func (p *planner) sidecarStarted(c *corev1.Container, sandbox *state.Sandbox) bool {
	cur := p.within(c.Name, sandbox)
	return cur != nil && cur.Phase == state.Running && !p.Busy(c.Name) && p.Health(cur.ID).Started
}

// supervise keeps a long-running container as it should be.
func (p *planner) supervise(c *corev1.Container, sandbox *state.Sandbox) {
	if p.Busy(c.Name) {
		return
	}
	cur := p.within(c.Name, sandbox)
	if cur == nil {
		// An instance in an earlier sandbox decides whether there is a next.
		if old := p.Observed.Latest(c.Name); p.round.counts(old) && old.Phase == state.Exited && !continues(p.Pod, c, old) {
			return
		}
		p.start(c, nil)
		return
	}
	switch cur.Phase {
	case state.Running:
		p.check(c, cur)
	case state.Unknown:
		p.kill(unknown(cur))
	case state.Exited:
		if continues(p.Pod, c, cur) {
			p.start(c, cur)
		}
	case state.Created:
		p.start(c, cur)
	}
}

func unknown(c *state.Container) Kill {
	return Kill{ID: c.ID, Name: c.Name, Message: "Container is in unknown state, try killing it before restart"}
}

// check kills a running instance that is not what the spec says, or ill.
func (p *planner) check(c *corev1.Container, cur *state.Container) {
	if want := podspec.Hash(c); cur.Hash != "" && cur.Hash != want {
		p.kill(Kill{ID: cur.ID, Name: c.Name, Running: true, MustRestart: replaceable(p.Pod, c),
			Message: "Container " + c.Name + " definition changed, will be restarted"})
		return
	}
	if cur.Replace {
		p.kill(Kill{ID: cur.ID, Name: c.Name, Running: true, Message: "Container " + c.Name + " resize requires restart"})
		return
	}
	if h := p.Health(cur.ID); h.Fault != "" {
		p.kill(Kill{ID: cur.ID, Name: c.Name, Message: h.Fault, Grace: h.Grace, Running: true, MustRestart: replaceable(p.Pod, c)})
	}
}

// start asks for the next instance unless it has to wait. cur is the newest
// instance in this sandbox, or nil.
func (p *planner) start(c *corev1.Container, cur *state.Container) {
	s := Start{Name: c.Name, Round: p.round.number}
	last := p.Observed.Latest(c.Name)
	if last != nil && last.Phase == state.Created {
		// The agent was killed between creating and starting it.
		s.Replace, s.Restarts, s.BackOff = last.ID, last.Restarts, last.BackOff
	} else if last != nil {
		var until time.Time
		until, s.BackOff = after(last)
		s.Restarts = last.Restarts + 1
		if !p.round.counts(last) && !resets(c, last) || last.Replace {
			s.BackOff = last.BackOff // it was not its fault
		}
		// Another sandbox, a resize or the failure of another container is no crash.
		if (cur != nil || resets(c, last)) && !last.Replace && p.Now.Before(until) {
			p.plan.Waiting[c.Name] = crashLoop(p.Pod, last)
			p.wake(until)
			return
		}
	}
	if p.waits(c.Name) {
		return
	}
	p.plan.Starts = append(p.plan.Starts, s)
}

// ephemeral starts debug containers, each once.
func (p *planner) ephemeral() {
	for i := range p.Pod.Spec.EphemeralContainers {
		name := p.Pod.Spec.EphemeralContainers[i].Name
		if last := p.Observed.Latest(name); p.Busy(name) || last != nil && last.Phase != state.Created {
			continue
		} else if last != nil {
			p.plan.Starts = append(p.plan.Starts, Start{Name: name, Replace: last.ID})
		} else if !p.waits(name) {
			p.plan.Starts = append(p.plan.Starts, Start{Name: name})
		}
	}
}
