package pod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

const (
	orphanInterval = 2 * time.Minute
	orphanRetry    = 10 * time.Second // after a failure, at first
	// orphanGrace is what containers get whose pod was deleted while no agent
	// was there to see it: they had their time.
	orphanGrace = 2 * time.Second
)

// Sweep removes, at once and then at intervals until ctx ends, whatever
// belongs to pods that the API does not have. It must not be called before the
// workers have been told of all pods.
func (w *Workers) Sweep(ctx context.Context) error {
	retry := backoff.New(orphanRetry, orphanInterval)
	for {
		pause := orphanInterval
		if err := w.sweep(ctx); err == nil {
			retry.Succeeded(w.Log)
		} else if ctx.Err() == nil {
			pause = retry.Failed(w.Log, "orphans not removed", err)
		}
		t := w.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C():
		}
	}
}

func (w *Workers) sweep(ctx context.Context) error {
	// Look at what there is before asking who owns it: a pod that comes in
	// between has a worker by then.
	pods, err := w.Runtime.Pods(ctx)
	if err != nil {
		return err
	}
	dirs, err := w.Volumes.Pods()
	if err != nil {
		return err
	}
	groups, err := w.Cgroups.Children(w.CgroupParent)
	if err != nil {
		return err
	}
	var errs []error
	for uid, p := range pods {
		if !w.has(uid) {
			err := w.removeOrphan(ctx, p)
			if err == nil {
				w.Log.Info("orphan removed", "namespace", p.Namespace, "name", p.Name, "uid", uid)
			}
			errs = append(errs, err)
		}
	}
	for _, uid := range dirs {
		if !w.has(uid) {
			errs = append(errs, w.Volumes.TearDown(ctx, uid))
		}
	}
	for _, g := range groups {
		if uid, ok := strings.CutPrefix(g, "pod"); ok && !w.has(types.UID(uid)) {
			errs = append(errs, errors.Join(w.killGroup(ctx, types.UID(uid)), w.Cgroups.Remove(w.groupOf(types.UID(uid)))))
		}
	}
	return errors.Join(append(errs, w.sweepAllocations(), w.sweepLogs())...)
}

// sweepAllocations forgets what pods were allocated that are gone.
func (w *Workers) sweepAllocations() error {
	if w.Allocations == nil {
		return nil
	}
	w.admission.mu.Lock() // a pod that is just being taken up has a record, but no worker
	defer w.admission.mu.Unlock()
	known, err := w.Allocations.Pods()
	errs := []error{err}
	for _, uid := range known {
		if !w.has(uid) {
			errs = append(errs, w.Allocations.Remove(uid))
		}
	}
	return errors.Join(errs...)
}

func (w *Workers) removeOrphan(ctx context.Context, p *state.Pod) error {
	for _, c := range p.Containers {
		if c.Phase != state.Exited {
			if err := w.Runtime.StopContainer(ctx, c.ID, orphanGrace); err != nil {
				return err
			}
		}
	}
	for _, s := range p.Sandboxes {
		if err := w.Runtime.StopSandbox(ctx, s.ID); err != nil {
			return err
		}
	}
	if err := w.killGroup(ctx, p.UID); err != nil { // as in erase
		return err
	}
	return w.remove(ctx, p)
}

// sweepLogs removes log directories of pods that are gone.
func (w *Workers) sweepLogs() error {
	root := w.Node().Logs
	entries, err := os.ReadDir(root)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	keep := map[string]bool{}
	for _, p := range w.Pods() {
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
