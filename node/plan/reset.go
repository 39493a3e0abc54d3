package plan

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Restarting of all containers: a container that exits with a code for which
// it has a rule RestartAllContainers begins a new round. Whatever runs of the
// rounds before is ended, without a grace period; then the pod's containers are
// started as they were at first, init containers included, in the same
// sandbox and with the same volumes. An instance carries the round that it was
// made in, so that nothing has to be remembered.

// RestartingAllContainers is the reason for which a container waits that ended
// for the sake of a restart of all containers.
const RestartingAllContainers = "RestartingAllContainers"

const resetMessage = "The container is removed because RestartAllContainers in place"

// CouldReset reports whether a container of the pod may restart all of them.
func CouldReset(pod *corev1.Pod) bool {
	for _, c := range podspec.Containers(pod) {
		for _, r := range c.RestartPolicyRules {
			if r.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
				return true
			}
		}
	}
	return false
}

// resets reports whether the end of an instance restarts all containers.
func resets(c *corev1.Container, i *state.Container) bool {
	if c == nil || i.Phase != state.Exited {
		return false
	}
	rule := match(c, i.ExitCode)
	return rule != nil && rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers
}

// round is how often all containers of a pod were restarted together.
type round struct {
	pod    *corev1.Pod
	number int32
}

// currentRound is the round that instances are to be of.
func currentRound(pod *corev1.Pod, seen *state.Pod) round {
	r := round{pod: pod}
	if !CouldReset(pod) {
		return r
	}
	for i := range seen.Containers {
		c := &seen.Containers[i]
		of := c.Round
		if resets(podspec.Find(pod, c.Name), c) {
			of++
		}
		r.number = max(r.number, of)
	}
	return r
}

// counts reports whether an instance is of the round.
func (r round) counts(c *state.Container) bool {
	return c != nil && (c.Round == r.number || r.debug(c.Name))
}

// debug reports whether a container is a debug container, which no round
// restarts.
func (r round) debug(name string) bool {
	for i := range r.pod.Spec.EphemeralContainers {
		if r.pod.Spec.EphemeralContainers[i].Name == name {
			return true
		}
	}
	return false
}

// reset ends what is left of earlier rounds, and reports whether the current
// one has to wait for that.
func (p *planner) reset() bool {
	if p.round.number == 0 {
		return false
	}
	begun, left := false, false
	killed := map[string]bool{}
	for i := range p.Observed.Containers {
		c := &p.Observed.Containers[i]
		if p.round.counts(c) {
			begun = begun || !p.round.debug(c.Name)
			continue
		}
		if c.Phase == state.Exited {
			continue
		}
		left = true
		if !p.Busy(c.Name) && !killed[c.Name] {
			killed[c.Name] = true
			p.kill(Kill{ID: c.ID, Name: c.Name, Message: "Stopping container " + c.Name, Grace: new(int64), Running: c.Phase == state.Running})
		}
	}
	p.plan.Restarting = !begun
	// What is being started may be of the round before.
	return left || !begun && p.anyBusy()
}

// explainReset says of ended instances of earlier rounds that their
// successors are to come.
func (p *planner) explainReset() {
	if p.round.number == 0 {
		return
	}
	for _, c := range podspec.Containers(p.Pod) {
		last := p.Observed.Latest(c.Name)
		if last == nil || last.Phase != state.Exited || p.round.counts(last) {
			continue
		}
		if _, waits := p.plan.Waiting[c.Name]; !waits {
			p.plan.Waiting[c.Name] = Waiting{RestartingAllContainers, resetMessage}
		}
	}
}
