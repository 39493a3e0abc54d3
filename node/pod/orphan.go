package pod

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/checkpoint"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/pod/executor"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/volume"
)

const (
	orphanInterval = 2 * time.Minute
	orphanRetry    = 10 * time.Second // after a failure, at first
	// orphanGrace is what containers get whose pod was deleted while no agent
	// was there to see it: they had their time.
	orphanGrace = 2 * time.Second
)

// known tells which pods have a worker; *Workers does.
type known interface {
	has(uid types.UID) bool
	Pods() []*corev1.Pod
}

// orphans removes what belongs to pods that nobody has any more.
type orphans struct {
	runtime     *cri.Client
	volumes     *volume.Manager
	allocations *checkpoint.Store // may be nil
	sandboxes   *executor.Sandboxes
	pods        known
	// arrivals is held while a pod is taken up: it has an allocation before it
	// has a worker.
	arrivals sync.Locker
	clock    clock.WithTicker
	log      *slog.Logger
}

func newOrphans(cfg *Config, sandboxes *executor.Sandboxes, pods known, arrivals sync.Locker) *orphans {
	return &orphans{runtime: cfg.Runtime, volumes: cfg.Volumes, allocations: cfg.Allocations, sandboxes: sandboxes, pods: pods,
		arrivals: arrivals, clock: cfg.Clock, log: cfg.Log}
}

// run sweeps at once and then at intervals until ctx ends.
func (o *orphans) run(ctx context.Context) error {
	retry := backoff.New(orphanRetry, orphanInterval)
	for {
		pause := orphanInterval
		if err := o.sweep(ctx); err == nil {
			retry.Succeeded(o.log)
		} else if ctx.Err() == nil {
			pause = retry.Failed(o.log, "orphans not removed", err)
		}
		t := o.clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C():
		}
	}
}

func (o *orphans) sweep(ctx context.Context) error {
	// Look at what there is before asking who owns it: a pod that comes in
	// between has a worker by then.
	pods, err := o.runtime.Pods(ctx)
	if err != nil {
		return err
	}
	dirs, err := o.volumes.Pods()
	if err != nil {
		return err
	}
	groups, err := o.sandboxes.Groups.System.Children(o.sandboxes.Groups.Parent)
	if err != nil {
		return err
	}
	var errs []error
	for uid, p := range pods {
		if !o.pods.has(uid) {
			err := o.remove(ctx, p)
			if err == nil {
				o.log.Info("orphan removed", "namespace", p.Namespace, "name", p.Name, "uid", uid)
			}
			errs = append(errs, err)
		}
	}
	for _, uid := range dirs {
		if !o.pods.has(uid) {
			errs = append(errs, o.volumes.TearDown(ctx, uid))
		}
	}
	for _, g := range groups {
		if uid, ok := strings.CutPrefix(g, "pod"); ok && !o.pods.has(types.UID(uid)) {
			errs = append(errs, errors.Join(o.sandboxes.Groups.Kill(ctx, types.UID(uid)), o.sandboxes.Groups.Remove(types.UID(uid))))
		}
	}
	return errors.Join(append(errs, o.sweepAllocations(), o.sweepLogs())...)
}

// sweepAllocations forgets what pods were allocated that are gone.
func (o *orphans) sweepAllocations() error {
	if o.allocations == nil {
		return nil
	}
	o.arrivals.Lock()
	defer o.arrivals.Unlock()
	return o.allocations.Sweep(o.pods.has)
}

func (o *orphans) remove(ctx context.Context, p *state.Pod) error {
	for _, c := range p.Containers {
		if c.Phase != state.Exited {
			if err := o.runtime.StopContainer(ctx, c.ID, orphanGrace); err != nil {
				return err
			}
		}
	}
	for _, s := range p.Sandboxes {
		if err := o.runtime.StopSandbox(ctx, s.ID); err != nil {
			return err
		}
	}
	if err := o.sandboxes.Groups.Kill(ctx, p.UID); err != nil { // what runs is in nobody's books
		return err
	}
	return o.sandboxes.Remove(ctx, p)
}

// sweepLogs removes log directories of pods that are gone.
func (o *orphans) sweepLogs() error {
	root := o.sandboxes.Node().Logs
	entries, err := os.ReadDir(root)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	keep := map[string]bool{}
	for _, p := range o.pods.Pods() {
		keep[filepath.Base(podspec.LogDirectory(root, p))] = true
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
