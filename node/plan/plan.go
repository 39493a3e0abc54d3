// Package plan decides what a node does next for one pod: given the pod's
// spec, what the runtime shows, what probes say and what is already under way,
// Next returns the actions that bring the pod nearer to what it should be. It
// is pure and keeps nothing between calls: even the back-off of a crashing
// container is read from the instance that crashed. So a restart of the agent
// changes no decision.
//
// The scenarios in testdata read as dialogues.
package plan

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Back-off of crashing containers, upstream's.
const (
	FirstBackOff = 10 * time.Second
	MaxBackOff   = 5 * time.Minute
	// ResetAfter is how long an instance must have run to count as healthy.
	ResetAfter = 10 * time.Minute
)

// Health is what the probes say about one instance.
type Health struct {
	// Started: the startup probe has succeeded, or there is none.
	Started bool
	// Fault, when set, is why the instance must be killed.
	Fault string
	// Grace overrides the pod's grace period for that kill; nil does not.
	Grace *int64
}

// Hold keeps a container from being started before a time.
type Hold struct {
	Until           time.Time
	Reason, Message string // shown while the container waits
}

// Input is all that a decision depends on.
type Input struct {
	Pod      *corev1.Pod
	Observed *state.Pod
	Now      time.Time
	// Busy tells whether an action upon the named container ("" for the
	// sandbox) is under way; nothing more is decided about it then.
	Busy func(container string) bool
	// Health of a running instance, by id.
	Health func(id string) Health
	// Holds by container name, by KillHold of it, and "" for the sandbox.
	Holds map[string]Hold
}

// Kill ends an instance.
type Kill struct {
	ID, Name string
	Message  string // for the event
	Grace    *int64 // seconds; nil is the pod's
	// Running: it has a process, so that its preStop hook can run.
	Running bool
	// MustRestart: another instance is to take its place, even if its process takes the
	// signal for a reason to succeed.
	MustRestart bool
	// After are the instances of the same plan that must have ended before
	// this one gets its stop signal, while there is time.
	After []string
}

// Start makes and starts a new instance.
type Start struct {
	Name     string
	Restarts int32
	BackOff  time.Duration // to wait after this instance's end
	// Replace is the id of an instance that was created but never started.
	Replace string
	// Round is how often all containers of the pod were restarted together.
	Round int32
}

// Waiting says why a container does not run.
type Waiting struct{ Reason, Message string }

// Outcome is how a pod ended.
type Outcome int

// Outcomes of a pod.
const (
	Living Outcome = iota
	Succeeded
	Failed
)

// Plan is what to do next. Actions of one plan may be done at the same time.
type Plan struct {
	// CreateSandbox asks for a sandbox with the given attempt number.
	CreateSandbox bool
	Attempt       uint32
	// StopSandboxes are sandboxes that died and whose rests must go.
	StopSandboxes []string
	Kills         []Kill
	Starts        []Start
	// Remove are ended instances, RemoveSandboxes dead sandboxes, that nobody
	// needs any more.
	Remove, RemoveSandboxes []string
	// Waiting explains containers that are held back, by name.
	Waiting map[string]Waiting
	// Restarting tells that all containers are being ended, to be started anew.
	Restarting bool
	// Outcome is set once no container will be started any more. When
	// nothing runs either, TearDown is set: the sandbox can go.
	Outcome         Outcome
	TearDown        bool
	Reason, Message string // of a pod that failed as a whole
	// Wake is when to decide again if nothing happens before; zero is never.
	Wake time.Time
}

// Next decides.
func Next(in Input) Plan {
	p := &planner{Input: in, plan: Plan{Waiting: map[string]Waiting{}}}
	p.decide()
	return p.plan
}

type planner struct {
	Input
	plan  Plan
	round round
}

func (p *planner) decide() {
	p.removeDead()
	p.round = currentRound(p.Pod, p.Observed)
	if p.over() {
		p.finish()
		return
	}
	sandbox := p.Observed.ReadySandbox()
	if sandbox == nil {
		p.renewSandbox()
		return
	}
	if p.Busy("") {
		return
	}
	defer p.explainReset()
	if p.reset() {
		return
	}
	initialized := p.initContainers(sandbox)
	if initialized {
		for i := range p.Pod.Spec.Containers {
			p.supervise(&p.Pod.Spec.Containers[i], sandbox)
		}
	}
	p.ephemeral()
}

// wake asks to be called again at t.
func (p *planner) wake(t time.Time) {
	if p.plan.Wake.IsZero() || t.Before(p.plan.Wake) {
		p.plan.Wake = t
	}
}

// removeDead drops instances older than the one before the newest: logs and last
// state reach back that far.
func (p *planner) removeDead() {
	seen := map[string]int{}
	for _, c := range p.Observed.Containers {
		if seen[c.Name]++; seen[c.Name] > 2 && c.Phase == state.Exited {
			p.plan.Remove = append(p.plan.Remove, c.ID)
		}
	}
	for i, s := range p.Observed.Sandboxes {
		if i > 1 && !s.Ready && !used(p.Observed, s.ID) {
			p.plan.RemoveSandboxes = append(p.plan.RemoveSandboxes, s.ID)
		}
	}
}

// over finds out whether the pod has ended, or must.
func (p *planner) over() bool {
	switch p.Pod.Status.Phase {
	case corev1.PodSucceeded:
		p.plan.Outcome = Succeeded
		return true
	case corev1.PodFailed:
		p.plan.Outcome = Failed
		return true
	}
	if d := p.Pod.Spec.ActiveDeadlineSeconds; d != nil && p.Pod.Status.StartTime != nil {
		end := p.Pod.Status.StartTime.Add(time.Duration(*d) * time.Second)
		if !p.Now.Before(end) {
			p.plan.Outcome, p.plan.Reason = Failed, "DeadlineExceeded"
			p.plan.Message = "Pod was active on the node longer than the specified deadline"
			return true
		}
		p.wake(end)
	}
	p.plan.Outcome = p.outcome()
	return p.plan.Outcome != Living
}

// outcome is decided by the containers: the pod is over when an init container
// failed for good, or all regular ones ended for good.
func (p *planner) outcome() Outcome {
	started := p.anyRegular(nil)
	for i := range p.Pod.Spec.InitContainers {
		c := &p.Pod.Spec.InitContainers[i]
		if podspec.IsSidecar(c) || started {
			continue
		}
		if last := p.Observed.Latest(c.Name); p.round.counts(last) && last.Phase == state.Exited && last.ExitCode != 0 && !restartable(p.Pod, c, last.ExitCode) {
			return Failed
		}
	}
	result := Succeeded
	for i := range p.Pod.Spec.Containers {
		c := &p.Pod.Spec.Containers[i]
		last := p.Observed.Latest(c.Name)
		if !p.round.counts(last) || last.Phase != state.Exited || continues(p.Pod, c, last) {
			return Living
		}
		if last.ExitCode != 0 {
			result = Failed
		}
	}
	return result
}

// renewSandbox makes the first sandbox, or the next after one died. What ran
// in a dead one is ended first.
func (p *planner) renewSandbox() {
	if _, held := p.held(""); held || p.Busy("") {
		return
	}
	for _, s := range p.Observed.Sandboxes {
		if used(p.Observed, s.ID) {
			p.plan.StopSandboxes = append(p.plan.StopSandboxes, s.ID)
		}
	}
	if p.anyBusy() || len(p.plan.StopSandboxes) > 0 {
		return
	}
	p.plan.CreateSandbox = true
	if last := p.Observed.Sandbox(); last != nil {
		p.plan.Attempt = last.Attempt + 1
	}
}

// used reports whether a sandbox has a container that may still run.
func used(seen *state.Pod, sandbox string) bool {
	for _, c := range seen.Containers {
		if c.SandboxID == sandbox && c.Phase != state.Exited {
			return true
		}
	}
	return false
}

func (p *planner) anyBusy() bool {
	for _, c := range podspec.Containers(p.Pod) {
		if p.Busy(c.Name) {
			return true
		}
	}
	return false
}

// held returns what holds something back, and asks to be called again when it
// does so no longer.
func (p *planner) held(name string) (Hold, bool) {
	h, ok := p.Holds[name]
	if !ok || !p.Now.Before(h.Until) {
		return Hold{}, false
	}
	p.wake(h.Until)
	return h, true
}

// waits is held for a container that is to be started, and says why it waits.
func (p *planner) waits(name string) bool {
	h, held := p.held(name)
	if held {
		p.plan.Waiting[name] = Waiting{h.Reason, h.Message}
	}
	return held
}

// restartable reports whether a container that exited with code is started
// again: by its own rules, its own policy, or the pod's.
func restartable(pod *corev1.Pod, c *corev1.Container, code int32) bool {
	if match(c, code) != nil {
		return true // every action there is restarts the container
	}
	policy := pod.Spec.RestartPolicy
	if c.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	} else if policy == corev1.RestartPolicyAlways && isInit(pod, c) {
		policy = corev1.RestartPolicyOnFailure
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	}
	return true
}

// continues reports whether there is to be another instance after one that has
// ended.
func continues(pod *corev1.Pod, c *corev1.Container, last *state.Container) bool {
	return last.Replace || last.MustRestart || restartable(pod, c, last.ExitCode)
}

// replaceable reports whether an instance that is ended for a fault is followed
// by another. As upstream has it, the policy alone decides: rules are about how
// an instance ends by itself.
func replaceable(pod *corev1.Pod, c *corev1.Container) bool {
	if c.RestartPolicy != nil {
		return *c.RestartPolicy != corev1.ContainerRestartPolicyNever
	}
	return pod.Spec.RestartPolicy != corev1.RestartPolicyNever
}

// match is the first of a container's rules for an exit code, or nil.
func match(c *corev1.Container, code int32) *corev1.ContainerRestartRule {
	for i := range c.RestartPolicyRules {
		if r := &c.RestartPolicyRules[i]; r.ExitCodes != nil && matches(r.ExitCodes, code) {
			return r
		}
	}
	return nil
}

func matches(r *corev1.ContainerRestartRuleOnExitCodes, code int32) bool {
	in := false
	for _, v := range r.Values {
		in = in || v == code
	}
	return in == (r.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn)
}

func isInit(pod *corev1.Pod, c *corev1.Container) bool {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == c.Name {
			return true
		}
	}
	return false
}

// after is when the successor of an ended instance may start, and how long
// the successor's own will have to wait.
func after(c *state.Container) (until time.Time, next time.Duration) {
	if !c.StartedAt.IsZero() && c.FinishedAt.Sub(c.StartedAt) >= ResetAfter {
		return c.FinishedAt, FirstBackOff
	}
	next = FirstBackOff
	if c.BackOff > 0 {
		next = min(2*c.BackOff, MaxBackOff)
	}
	return c.FinishedAt.Add(c.BackOff), next
}

// CrashLoopBackOff is the reason for which a container waits that ended before.
const CrashLoopBackOff = "CrashLoopBackOff"

func crashLoop(pod *corev1.Pod, c *state.Container) Waiting {
	return Waiting{CrashLoopBackOff, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
		c.BackOff, c.Name, pod.Name, pod.Namespace, pod.UID)}
}
