package pod

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/node/pod/executor"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/pod/report"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/volume"
)

// executors do what the Cores of all pods decide.
type executors struct {
	observer     executor.Observer
	sandboxes    *executor.Sandboxes
	starter      *executor.Starter
	stopper      *executor.Stopper
	terminator   *executor.Terminator
	resizer      *executor.Resizer
	events       executor.Events
	volumes      *volume.Manager
	sources      Sources
	probes       *probe.Manager
	reports      *report.Writer
	networkReady func() bool
	log          *slog.Logger
}

// newExecutors makes them. What they are given besides cfg they share with the
// workers.
func newExecutors(cfg *Config, groups executor.Groups, events executor.Events, probes *probe.Manager, reports *report.Writer) *executors {
	var (
		slots  = executor.NewSlots()
		hooks  = &executor.Hooks{Exec: cfg.Runtime.Exec, NodeIPs: func() []string { return cfg.Node().IPs }, Clock: cfg.Clock}
		images = &executor.Images{Puller: cfg.Images, Mounts: cfg.ImageMounts, Events: events}
	)
	x := &executors{observer: executor.Observer{Runtime: cfg.Runtime}, events: events, volumes: cfg.Volumes, sources: cfg.Sources,
		probes: probes, reports: reports, networkReady: cfg.NetworkReady, log: cfg.Log}
	x.sandboxes = &executor.Sandboxes{Runtime: cfg.Runtime, Classes: cfg.Client.NodeV1().RuntimeClasses(), Volumes: cfg.Volumes,
		Groups: groups, Slots: slots, PIDs: cfg.PIDs, Node: cfg.Node}
	x.starter = &executor.Starter{Runtime: cfg.Runtime, Images: images, Volumes: cfg.Volumes, Sources: cfg.Sources, Hooks: hooks,
		Events: events, Groups: groups, Slots: slots, Node: cfg.Node, Services: cfg.Services, Log: cfg.Log}
	x.stopper = &executor.Stopper{Runtime: cfg.Runtime, Hooks: hooks, Events: events, Clock: cfg.Clock}
	x.terminator = &executor.Terminator{Runtime: cfg.Runtime, Pods: cfg.Client.CoreV1(), Stopper: x.stopper, Sandboxes: x.sandboxes,
		Draining: cfg.Draining, DrainTimeout: cfg.DrainTimeout, Log: cfg.Log}
	x.resizer = &executor.Resizer{Runtime: cfg.Runtime, Groups: groups, Events: events, Node: cfg.Node, Clock: cfg.Clock, Log: cfg.Log}
	return x
}

// run carries out a task of one pod that needs nothing of the pod's other tasks.
func (x *executors) run(ctx context.Context, t lifecycle.Task, v *view) lifecycle.Result {
	r := lifecycle.Result{Task: t}
	switch t := t.(type) {
	case lifecycle.CreateSandbox:
		r.Err = x.sandboxes.Create(ctx, t)
	case lifecycle.StopSandbox:
		r.Err = x.sandboxes.Runtime.StopSandbox(ctx, t.ID)
	case lifecycle.PrepareVolumes:
		r.Renew, r.Err = x.volumes.Prepare(ctx, t.Pod)
	case lifecycle.StartContainer:
		if fail := x.starter.Start(ctx, t); fail != nil {
			r.Err, r.Reason, r.Until = fail.Err, fail.Reason, fail.Until
		}
	case lifecycle.RemoveDead:
		r.Err = x.sandboxes.RemoveDead(ctx, t)
	case lifecycle.TearDown:
		r.Err = x.sandboxes.Free(ctx, v.uid(), t.Sandboxes)
	case lifecycle.Resize:
		r.Outdated, r.Err = x.resizer.Resize(ctx, t, v.allocated)
	case lifecycle.Cleanup:
		r.Err = x.terminator.Cleanup(ctx, t, x.lastStatus(t.Status, v))
	}
	return r
}

// lastStatus writes how a pod ended; nil when there is nothing to tell. That it
// could not be written does not keep the pod from being deleted.
func (x *executors) lastStatus(s *corev1.PodStatus, v *view) func(context.Context) {
	if s == nil {
		return nil
	}
	return func(ctx context.Context) {
		api, base := v.setStatus(s)
		if err := x.reports.Now(ctx, api, base, *s); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) {
			x.log.Debug("last status not written", "namespace", api.Namespace, "name", api.Name, "uid", api.UID, "error", err)
		}
	}
}

// probe makes the running instances of a pod be probed, and no others of it.
func (x *executors) probe(ctx context.Context, pod *corev1.Pod, of []lifecycle.Target) {
	x.probes.Sync(ctx, pod.UID, probeTargets(pod, of, x.starter.Services))
}
