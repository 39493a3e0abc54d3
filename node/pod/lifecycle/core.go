// Package lifecycle decides what is done for one pod, from its start on this
// node to its end. A Core is told what the API wants, what the runtime shows and
// what the node has allocated, and how tasks ended that it asked for; it answers
// with actions. It does nothing itself: no call, no file, no clock, no goroutine.
// So its scenarios (testdata) need no runtime, and time stands still in them.
//
// What containers need next is package plan's; what a Core adds is what lies
// between that and the world: tasks take time and must not overlap, failures are
// tried again with pauses, a pod may be deleted at any moment. What a Core
// remembers, another one finds out again: a new agent goes on where the last one
// was killed.
//
// Start reading at Core.Step. See RATIONALE.md, "Why does what decides about a
// pod do nothing?".
package lifecycle

import (
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
)

// Config of a Core.
type Config struct {
	// Refused is why the node did not take the pod up; nil when it did.
	Refused *admit.Refusal
	// RuntimeName is the scheme of container ids, such as "containerd".
	RuntimeName string
	// PIDs bounds the tasks of a pod; 0 means no limit.
	PIDs int64
	// Log is told of trouble that only an operator can end; required.
	Log *slog.Logger
}

// Input is what a decision depends on besides what a Core remembers.
type Input struct {
	Now time.Time
	// Pod has the resources that the node has allocated, and the status that was
	// last reported.
	Pod *corev1.Pod
	// Gone: the API has the pod no more.
	Gone bool
	// Stale: something that volumes show has changed since the last step.
	Stale bool
	// Observed is what the runtime shows. The Core adds to it what only it knows.
	Observed *state.Pod
	// Record is what the node has allocated, Number counts allocations, and
	// Pending and Applying are a resize that waits and one under way. Record is
	// nil for a pod that was refused.
	Record            *resize.Record
	Number            int
	Pending, Applying *resize.Condition
	// Again is when an allocation is tried again that could not be kept; zero
	// if there is none.
	Again time.Time
	// Health is what the probes say about a running instance.
	Health func(id string) probe.Health
	// NodeIPs are the node's addresses.
	NodeIPs []string
	// NetworkReady says whether pods can be given addresses.
	NetworkReady bool
}

// Core decides for one pod. Its methods must not be called concurrently.
type Core struct {
	cfg Config

	in          Input // of the last step
	tasks       tasks
	holds       *holds
	mustRestart mustRestart
	pulls       pulls
	crashes     crashes
	volumes     volumes
	status      *corev1.PodStatus // last reported; nil before the first
	resized     int               // number of the allocation that was last worked on
	tornDown    bool              // what a finished pod held is freed
	ending      *ending           // of a deleted pod; nil before
	done        bool
}

// New makes a Core for a pod that the node just meets.
func New(cfg Config) *Core {
	return &Core{cfg: cfg, tasks: tasks{busy: map[string]bool{}, called: map[string]bool{}}, holds: newHolds(cfg.Log), mustRestart: mustRestart{}, pulls: pulls{}, crashes: crashes{}}
}

// Done reports whether nothing is left to do: the pod is gone from the node and
// from the API.
func (c *Core) Done() bool { return c.done }

// idle is how often a pod is looked at that nothing happens to.
const idle = 2 * time.Minute

// Step decides what is done next. Actions are to be carried out in their order;
// tasks among them only to be started. wait is how long there is nothing to
// decide if nothing happens before.
func (c *Core) Step(in Input) (actions []Action, wait time.Duration) {
	c.in = in
	c.mustRestart.overlay(in.Observed)
	wait = c.step()
	return c.tasks.take(), wait
}

func (c *Core) step() time.Duration {
	in := &c.in
	if in.Stale {
		c.volumes.stale = true
		c.volumes.changes++
	}
	if in.Gone || in.Pod.DeletionTimestamp != nil {
		return c.terminate()
	}
	if c.cfg.Refused != nil {
		c.report(rejected(in, c.cfg.Refused))
		return idle
	}
	if c.tornDown && podspec.Final(in.Pod) && in.Observed.ReadySandbox() == nil {
		return idle
	}
	c.resize()
	c.tasks.emit(Follow{in.Pod})
	c.prepareVolumes()
	aged := c.pulls.age(in.Now, c.holds, c.event)
	p := plan.Next(plan.Input{Pod: in.Pod, Observed: in.Observed, Now: in.Now, Busy: c.tasks.isBusy, Health: planHealth(in.Health), Holds: c.holds.until})
	c.crashes.tell(in, p, c.event)
	c.carryOut(p)
	c.publish(p)
	return until(in.Now, p.Wake, aged, c.volumes.renew, in.Again, c.held(RemoveDeadTask), c.held(TerminateTask), c.held(ResizeTask), c.held(SandboxTask))
}

// until is how long to wait for the first of some times, of which zero ones
// never come, or for the next routine look.
func until(now time.Time, times ...time.Time) time.Duration {
	wait := idle
	for _, t := range times {
		if !t.IsZero() {
			wait = min(wait, max(t.Sub(now), time.Millisecond))
		}
	}
	return wait
}

func (c *Core) event(container, kind, reason, message string) {
	c.tasks.emit(Event{c.in.Pod, container, kind, reason, message})
}

func (c *Core) held(name string) time.Time { return c.holds.held(name, c.in.Now) }

// carryOut starts the tasks of a plan.
func (c *Core) carryOut(p plan.Plan) {
	for _, id := range p.StopSandboxes {
		if !c.tasks.busy[SandboxTask] {
			c.tasks.start(StopSandbox{id})
		}
	}
	if p.CreateSandbox {
		c.createSandbox(p.Attempt)
	}
	c.stop(p.Kills)
	if c.volumes.prepared {
		for _, s := range p.Starts {
			c.startContainer(s)
		}
	}
	c.removeDead(p)
	if p.TearDown && !c.tornDown && len(c.tasks.busy) == 0 && c.held(TerminateTask).IsZero() {
		c.tasks.start(TearDown{sandboxes(c.in.Observed)})
	}
}

func sandboxes(seen *state.Pod) []string {
	var ids []string
	for _, s := range seen.Sandboxes {
		ids = append(ids, s.ID)
	}
	return ids
}

// networkPause is how often a pod that waits for the network looks again.
const networkPause = 200 * time.Millisecond

func (c *Core) createSandbox(attempt uint32) {
	if !podspec.HostNetwork(c.in.Pod) && !c.in.NetworkReady {
		if _, told := c.holds.until[SandboxTask]; !told {
			c.event("", corev1.EventTypeWarning, "NetworkNotReady", "network is not ready: waiting for the node's pod network")
		}
		c.holds.until[SandboxTask] = plan.Hold{Until: c.in.Now.Add(networkPause)}
		return
	}
	if attempt > 0 {
		c.event("", corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	}
	c.tasks.start(CreateSandbox{Pod: c.in.Pod, Attempt: attempt, Old: sandboxes(c.in.Observed)})
}

func (c *Core) startContainer(s plan.Start) {
	pod := c.in.Pod
	a := StartContainer{Start: s, Pod: pod, Container: podspec.Find(pod, s.Name), Sandbox: *c.in.Observed.ReadySandbox()}
	for i := range pod.Spec.EphemeralContainers {
		if e := &pod.Spec.EphemeralContainers[i]; e.Name == s.Name && e.TargetContainerName != "" {
			if t := c.in.Observed.Latest(e.TargetContainerName); t != nil {
				a.Target = t.ID
			}
		}
	}
	a.Changes = c.volumes.changes
	c.tasks.start(a)
}

// stop ends instances whose pod goes on, or has ended by itself.
func (c *Core) stop(kills []plan.Kill) {
	var (
		all StopContainers
		ips []string
	)
	if s := c.in.Observed.ReadySandbox(); s != nil {
		ips = s.IPs
	}
	for _, kill := range kills {
		if kill.MustRestart {
			c.mustRestart[kill.ID] = true
		}
		grace := podspec.Grace(c.in.Pod)
		if kill.Grace != nil {
			grace = *kill.Grace
		}
		c.tasks.busy[kill.Name] = true
		all = append(all, StopContainer{Kill: kill, Pod: c.in.Pod, IPs: ips, Until: c.in.Now.Add(time.Duration(grace) * time.Second)})
	}
	if len(all) > 0 {
		c.tasks.emit(all)
	}
}

func (c *Core) removeDead(p plan.Plan) {
	if len(p.Remove)+len(p.RemoveSandboxes) == 0 || c.tasks.busy[RemoveDeadTask] || !c.held(RemoveDeadTask).IsZero() {
		return
	}
	t := RemoveDead{Sandboxes: p.RemoveSandboxes}
	for _, id := range p.Remove {
		for _, i := range c.in.Observed.Containers {
			if i.ID == id {
				t.Containers = append(t.Containers, i)
			}
		}
	}
	c.tasks.start(t)
}

// prepareVolumes brings the volumes up to date when they have to be.
func (c *Core) prepareVolumes() {
	now, v := c.in.Now, &c.volumes
	due := !v.prepared || v.stale || !v.renew.IsZero() && !now.Before(v.renew)
	if !due || c.tasks.busy[VolumeTask] || c.tornDown || podspec.Final(c.in.Pod) {
		return
	}
	if at := c.held(VolumeTask); !at.IsZero() && !v.stale {
		v.renew = at
		return
	}
	if v.stale {
		c.holds.release(ConfigError)
	}
	v.stale, v.renew = false, time.Time{} // the end of the task says when next
	c.tasks.start(PrepareVolumes{c.in.Pod})
}

// volumes is what a Core remembers of the pod's volumes.
type volumes struct {
	prepared bool      // at least once
	stale    bool      // what they show has changed
	changes  int       // of what they show, so far
	renew    time.Time // when they must be prepared again; zero for never
}

// resize brings on what the pod was allocated.
func (c *Core) resize() {
	in := &c.in
	if in.Record == nil || !in.Record.Applying || podspec.Final(in.Pod) {
		return
	}
	if c.resized != in.Number {
		c.resized = in.Number
		c.holds.clear(ResizeTask) // it need not fail as the one before
	}
	if c.tasks.busy[ResizeTask] || c.tasks.busy[SandboxTask] || !c.held(ResizeTask).IsZero() {
		return
	}
	work := resize.Next(in.Pod, in.Observed, in.Record, podspec.PodLimits(in.Pod, c.cfg.PIDs), c.tasks.isBusy)
	if work.Begun(in.Record) && len(work.Updates) == 0 && work.After == nil {
		return // instances are being replaced
	}
	t := Resize{Pod: in.Pod, Work: work, Number: in.Number}
	for i := range in.Observed.Containers {
		t.Instances = append(t.Instances, in.Observed.Containers[i].ID)
	}
	c.tasks.start(t)
}
