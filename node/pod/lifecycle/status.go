package lifecycle

import (
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/status"
)

// publish reports the status that follows from a plan, if it has changed.
func (c *Core) publish(p plan.Plan) { c.report(c.statusOf(p, c.in.Observed, false)) }

func (c *Core) report(s corev1.PodStatus) {
	if c.status != nil && (c.cfg.Refused != nil || reflect.DeepEqual(*c.status, s)) {
		return
	}
	c.status = &s
	c.tasks.emit(Report{s})
}

func (c *Core) statusOf(p plan.Plan, seen *state.Pod, ended bool) corev1.PodStatus {
	in := &c.in
	s := status.Input{Pod: in.Pod, Observed: seen, Plan: p, Runtime: c.cfg.RuntimeName, NodeIPs: in.NodeIPs, Ended: ended, Now: in.Now,
		Health: func(id string) status.Health {
			h := in.Health(id)
			return status.Health{Started: h.Started, Ready: h.Ready && h.Fault == ""}
		}}
	if !ended {
		s.Failures, s.Pending, s.Resizing = c.holds.failures, in.Pending, in.Applying
		if in.Record != nil {
			s.Whole = in.Record.Has()
		}
	}
	return status.Make(s)
}

// rejected is the status of a pod that the node did not take up.
func rejected(in *Input, why *admit.Refusal) corev1.PodStatus {
	return status.Rejected(in.Pod, why.Reason, fmt.Sprintf("Pod was rejected: %s", why.Message), in.Now)
}

func planHealth(of func(id string) probe.Health) func(id string) plan.Health {
	return func(id string) plan.Health {
		h := of(id)
		return plan.Health{Started: h.Started, Fault: h.Fault, Grace: h.Grace}
	}
}

// Targets are the running instances that are to be probed, by what the runtime
// shows. They are asked for before Step, so that it knows their Health; of a pod
// that was refused or is deleted there is nothing new to ask.
func (c *Core) Targets(in Input) (targets []Target, probe bool) {
	if in.Gone || in.Pod.DeletionTimestamp != nil || c.cfg.Refused != nil {
		return nil, false
	}
	for _, x := range podspec.Containers(in.Pod) {
		i := in.Observed.Latest(x.Name)
		if i == nil || i.Phase != state.Running || c.tasks.busy[x.Name] {
			continue
		}
		targets = append(targets, Target{Container: x, ID: i.ID, StartedAt: i.StartedAt, IP: address(&in), Was: was(c.cfg.RuntimeName, in.Pod, i)})
	}
	return targets, true
}

// was is what the API says about an instance that an earlier agent probed.
func was(runtime string, pod *corev1.Pod, i *state.Container) probe.Health {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for _, s := range list {
			if s.ContainerID == runtime+"://"+i.ID {
				return probe.Health{Started: s.Started != nil && *s.Started, Ready: s.Ready}
			}
		}
	}
	return probe.Health{}
}

// address is where the pod's ports are.
func address(in *Input) string {
	if podspec.HostNetwork(in.Pod) {
		if len(in.NodeIPs) > 0 {
			return in.NodeIPs[0]
		}
		return "127.0.0.1"
	}
	if s := in.Observed.ReadySandbox(); s != nil && len(s.IPs) > 0 {
		return s.IPs[0]
	}
	return ""
}
