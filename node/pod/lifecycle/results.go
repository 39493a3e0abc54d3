package lifecycle

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/plan"
)

// ConfigError is the reason of a start that lacked something that the pod refers
// to.
const ConfigError = "CreateContainerConfigError"

// Ended tells how a task ended. Step is to be called next; the actions that are
// returned are carried out before. Step must have been called once.
func (c *Core) Ended(now time.Time, r Result) []Action {
	c.in.Now = now
	c.tasks.ended(r.Task)
	switch t := r.Task.(type) {
	case CreateSandbox:
		c.sandboxCreated(r.Err)
	case StartContainer:
		c.started(t, r)
	case PrepareVolumes:
		c.volumesPrepared(r)
	case StopContainer:
		c.tried(plan.KillHold(t.Kill.Name), r.Err, "container not stopped", "container", t.Kill.Name)
	case StopSandbox:
		c.tried(SandboxTask, r.Err, "sandbox not stopped", "sandbox", t.ID)
	case RemoveDead:
		c.tried(RemoveDeadTask, r.Err, "old containers not removed")
	case TearDown:
		c.tornDown = c.tried(TerminateTask, r.Err, "pod not torn down") || c.tornDown
	case Resize:
		c.resizeEnded(r)
	case Terminate:
		// Only the whole end is a success: what fails in its second half must not
		// be tried at once because the first went well.
		if r.Err != nil {
			c.tried(TerminateTask, r.Err, "pod not ended")
		} else {
			c.cleanup(r.Last)
		}
	case Cleanup:
		c.done = c.tried(TerminateTask, r.Err, "pod not ended")
	}
	return c.tasks.take()
}

// tried notes how something went whose failure only the log tells, and reports
// whether it went well. name is what is held back after a failure.
func (c *Core) tried(name string, err error, what string, attrs ...any) bool {
	switch {
	case err == nil:
		c.holds.clear(name)
	case !canceled(err):
		c.holds.failed(name, c.in.Now, what, err, attrs...)
	}
	return err == nil
}

func (c *Core) sandboxCreated(err error) {
	switch {
	case err == nil:
		c.holds.clear(SandboxTask)
	case !canceled(err):
		c.event("", corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: "+cri.Message(err))
		c.holds.retry(SandboxTask, c.in.Now, "", err.Error())
	}
}

// started notes how a start went. What the API's users should know of a failure
// they were told when it happened.
func (c *Core) started(t StartContainer, r Result) {
	name := t.Start.Name
	switch {
	case r.Err == nil:
		c.holds.clear(name)
	case canceled(r.Err):
	case !r.Until.IsZero():
		c.holds.hold(name, r.Until, r.Reason, r.Err.Error())
		if r.Reason == image.ErrImagePull {
			c.pulls[name] = pullFailure{t.Container.Image, r.Err.Error(), c.in.Now}
		}
	case r.Reason == ConfigError && t.Changes != c.volumes.changes:
		// What was missing may have come after the start had looked for it.
	default:
		c.holds.retry(name, c.in.Now, r.Reason, r.Err.Error())
	}
}

func (c *Core) volumesPrepared(r Result) {
	switch {
	case r.Err == nil:
		c.volumes.prepared, c.volumes.renew = true, r.Renew
		c.holds.clear(VolumeTask)
	case !canceled(r.Err):
		c.event("", corev1.EventTypeWarning, "FailedMount", r.Err.Error())
		c.holds.retry(VolumeTask, c.in.Now, "FailedMount", r.Err.Error())
		c.volumes.renew = c.holds.until[VolumeTask].Until
	}
}

// resizeEnded has a resize tried again that failed. One of an earlier
// allocation does not matter any more.
func (c *Core) resizeEnded(r Result) {
	switch {
	case r.Err == nil:
		c.holds.clear(ResizeTask)
	case !canceled(r.Err) && !r.Outdated:
		c.holds.pause(ResizeTask, c.in.Now)
	}
}

func canceled(err error) bool { return errors.Is(err, context.Canceled) }
