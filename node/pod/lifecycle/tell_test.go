package lifecycle_test

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/pod/lifecycle"
)

// tell writes an action into the log.
func (w *world) tell(a lifecycle.Action) {
	switch a := a.(type) {
	case lifecycle.CreateSandbox:
		w.say("  create sandbox, attempt %d%s", a.Attempt, list(", after", a.Old))
	case lifecycle.StopSandbox:
		w.say("  stop %s", a.ID)
	case lifecycle.PrepareVolumes:
		w.say("  prepare volumes")
	case lifecycle.StartContainer:
		w.say("  start %s in %s, restarts %d%s", a.Container.Name, a.Sandbox.ID, a.Restarts, list(", seeing", []string{a.Target}))
	case lifecycle.StopContainers:
		for _, s := range a {
			w.say("  stop %s within %s%s: %s", s.ID, s.Until.Sub(w.now), list(" after", s.After), s.Message)
		}
	case lifecycle.RemoveDead:
		var ids []string
		for _, c := range a.Containers {
			ids = append(ids, c.ID)
		}
		w.say("  remove%s", list("", append(ids, a.Sandboxes...)))
	case lifecycle.TearDown:
		w.say("  tear down%s", list("", a.Sandboxes))
	case lifecycle.Resize:
		text := ""
		for _, u := range a.Work.Updates {
			text += fmt.Sprintf(" %s to %s %s", u.ID, u.Resources.Limits.Cpu(), u.Resources.Limits.Memory())
		}
		w.say("  resize%s%s, group then %t", text, list(" replacing", a.Work.Replace), a.Work.After != nil)
	case lifecycle.Terminate:
		w.say("  terminate within %s", a.Until.Sub(w.now))
	case lifecycle.Cleanup:
		if a.Status == nil {
			w.say("  clean up")
		} else {
			w.say("  clean up, and tell %s", summary(a.Status))
		}
	case lifecycle.Cancel:
		w.say("  cancel %s", shown(a.Task))
	case lifecycle.Shorten:
		w.say("  shorten to %s", a.Until.Sub(w.now))
	case lifecycle.Event:
		w.say("  event %s %s%s: %s", a.Type, a.Reason, list(" of", []string{a.Container}), a.Message)
	case lifecycle.Report:
		w.say("  report %s", summary(&a.Status))
	default:
		w.say("  %T", a)
	}
}

func list(before string, of []string) string {
	text := strings.TrimSpace(strings.Join(of, " "))
	if text == "" {
		return ""
	}
	return before + " " + text
}

// summary is what matters most of a status.
func summary(s *corev1.PodStatus) string {
	text := string(s.Phase)
	if s.Reason != "" {
		text += " (" + s.Reason + ": " + s.Message + ")"
	}
	for _, cs := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for _, c := range cs {
			text += ", " + c.Name + " "
			switch {
			case c.State.Running != nil && c.Ready:
				text += "ready"
			case c.State.Running != nil:
				text += "runs"
			case c.State.Terminated != nil:
				text += fmt.Sprintf("exited %d", c.State.Terminated.ExitCode)
			case c.State.Waiting != nil:
				text += "waits: " + c.State.Waiting.Reason
			}
		}
	}
	for _, c := range s.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			text += "; ready"
		}
		if c.Type == corev1.PodResizeInProgress || c.Type == corev1.PodResizePending {
			text += "; " + strings.TrimSpace(string(c.Type)+" "+c.Reason)
		}
	}
	return text
}
