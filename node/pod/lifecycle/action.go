package lifecycle

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
)

// Action is something that is to be done for a pod. Nothing in it may be
// changed.
type Action interface{ action() }

// Task is an action that takes time: it is started, and its Result given to
// Core.Ended. No two tasks of one name are under way at a time.
type Task interface {
	Action
	// Name is what the task is about: a container by its name, or one of the
	// names below.
	Name() string
}

// Names of tasks that are not about one container.
const (
	SandboxTask    = ""
	VolumeTask     = "\x00volumes"
	TerminateTask  = "\x00terminate"
	RemoveDeadTask = "\x00dead"
	ResizeTask     = "\x00resize"
)

// CreateSandbox makes a sandbox; the rests of those before go first.
type CreateSandbox struct {
	Pod     *corev1.Pod
	Attempt uint32
	Old     []string
}

// StopSandbox stops what is left of a sandbox that died.
type StopSandbox struct{ ID string }

// PrepareVolumes brings the pod's volumes up to date.
type PrepareVolumes struct{ Pod *corev1.Pod }

// StartContainer makes an instance of a container and starts it.
type StartContainer struct {
	plan.Start
	Pod       *corev1.Pod
	Container *corev1.Container
	Sandbox   state.Sandbox
	// Target is the instance whose processes a debug container wants to see.
	Target string
	// Changes counts the changes of what the pod refers to, before the start.
	Changes int
}

// StopContainer ends an instance of a pod that goes on, or ends by itself.
type StopContainer struct {
	plan.Kill
	Pod *corev1.Pod
	// IPs are the pod's addresses, for its hooks.
	IPs []string
	// Until is the end of the grace period.
	Until time.Time
}

// StopContainers are tasks that take turns: an instance gets its stop signal
// when those have ended that its Kill.After names.
type StopContainers []StopContainer

// RemoveDead removes instances, with their logs, and sandboxes that nobody needs any
// more.
type RemoveDead struct {
	Containers []state.Container
	Sandboxes  []string
}

// TearDown frees what a finished pod holds. Its containers stay in the runtime,
// for their logs, until the pod is deleted.
type TearDown struct{ Sandboxes []string }

// Resize brings running instances, and the pod's group, to what was allocated.
type Resize struct {
	Pod  *corev1.Pod
	Work resize.Work
	// Number is that of the allocation that is worked on.
	Number int
	// Instances are those that the runtime has.
	Instances []string
}

// Terminate takes a pod that is deleted out of the balancers and ends everything
// that runs of it.
type Terminate struct {
	Pod      *corev1.Pod
	Observed *state.Pod
	// Until is the end of the grace period. Shorten may bring it nearer.
	Until time.Time
}

// Cleanup removes everything of a pod, of which nothing runs any more, from the
// node, and then its object from the API.
type Cleanup struct {
	Pod  *corev1.Pod
	Last *state.Pod
	// Status is how the pod ended; nil when the API has the pod no more.
	Status *corev1.PodStatus
}

// Cancel calls a task off. It ends soon, with context.Canceled unless it was
// done already.
type Cancel struct{ Task string }

// Shorten makes the grace period of Terminate end at another time, if that is
// earlier.
type Shorten struct{ Until time.Time }

// Follow has the ConfigMaps and Secrets followed that the pod refers to.
type Follow struct{ Pod *corev1.Pod }

// Event tells the API's users what happened to a pod, or to one of its
// containers.
type Event struct {
	Pod                              *corev1.Pod
	Container, Type, Reason, Message string
}

// Report tells the API the pod's status.
type Report struct{ Status corev1.PodStatus }

// Result is how a task ended.
type Result struct {
	Task Task
	// Err is nil when the task was done, and context.Canceled when it was called
	// off.
	Err error
	// Reason is why a container was not started, as its status tells.
	Reason string
	// Until is, of a start, when the puller tries again; zero if that is not
	// what it waits for.
	Until time.Time
	// Renew is when volumes must be prepared again; zero for never.
	Renew time.Time
	// Last is what the runtime showed after Terminate.
	Last *state.Pod
	// Outdated: the resize was of an allocation that is no longer the newest.
	Outdated bool
}

// Name of the task.
func (CreateSandbox) Name() string    { return SandboxTask }
func (StopSandbox) Name() string      { return SandboxTask }
func (PrepareVolumes) Name() string   { return VolumeTask }
func (a StartContainer) Name() string { return a.Start.Name }
func (a StopContainer) Name() string  { return a.Kill.Name }
func (RemoveDead) Name() string       { return RemoveDeadTask }
func (TearDown) Name() string         { return TerminateTask }
func (Resize) Name() string           { return ResizeTask }
func (Terminate) Name() string        { return TerminateTask }
func (Cleanup) Name() string          { return TerminateTask }

func (CreateSandbox) action()  {}
func (StopSandbox) action()    {}
func (PrepareVolumes) action() {}
func (StartContainer) action() {}
func (StopContainer) action()  {}
func (StopContainers) action() {}
func (RemoveDead) action()     {}
func (TearDown) action()       {}
func (Resize) action()         {}
func (Terminate) action()      {}
func (Cleanup) action()        {}
func (Cancel) action()         {}
func (Shorten) action()        {}
func (Follow) action()         {}
func (Event) action()          {}
func (Report) action()         {}

// tasks are those under way, and the actions that a call asks for.
type tasks struct {
	out    []Action
	busy   map[string]bool // by name
	called map[string]bool // off, by name
}

func (t *tasks) emit(a Action) { t.out = append(t.out, a) }

func (t *tasks) start(a Task) {
	t.busy[a.Name()] = true
	t.emit(a)
}

// cancel calls a task off, once.
func (t *tasks) cancel(name string) {
	if !t.called[name] {
		t.called[name] = true
		t.emit(Cancel{name})
	}
}

func (t *tasks) ended(a Task) {
	delete(t.busy, a.Name())
	delete(t.called, a.Name())
}

func (t *tasks) isBusy(name string) bool { return t.busy[name] }

// take hands over the actions.
func (t *tasks) take() []Action {
	out := t.out
	t.out = nil
	return out
}

// Target is an instance to be probed.
type Target struct {
	Container *corev1.Container
	ID        string
	StartedAt time.Time
	// IP is where the pod's ports are.
	IP string
	// Was is what the API says about an instance that an earlier agent probed.
	Was probe.Health
}
