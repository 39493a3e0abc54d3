package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// change is what a follower hands over: all objects anew, or events.
type change struct {
	replace bool
	objects []*watch.Object
	events  []watch.Event
}

// maxEvents bounds the events of one change.
const maxEvents = 256

// relistPause is the wait after a list or watch that failed.
const relistPause = 500 * time.Millisecond

// follower lists a resource and then watches it, for ever: it goes on from
// where a watch ended, and lists again when that revision is gone.
type follower struct {
	reg    registry.Registry
	target registry.Target
	clock  clock.Clock
	log    *slog.Logger
	out    chan<- change
}

func (f *follower) run(ctx context.Context) error {
	rev := int64(0)
	for ctx.Err() == nil {
		if rev == 0 {
			list, err := f.reg.List(ctx, f.target, metav1.ListOptions{})
			if err != nil {
				f.pause(ctx, fmt.Errorf("list %s: %w", f.target.Resource.Resource, err))
				continue
			}
			rev = list.Revision
			if !f.send(ctx, change{replace: true, objects: list.Items}) {
				return nil
			}
		}
		next, err := f.watch(ctx, rev)
		rev = next
		switch {
		case err == nil || ctx.Err() != nil:
		case apierrors.IsGone(err) || apierrors.IsResourceExpired(err):
			rev = 0
		default:
			f.pause(ctx, fmt.Errorf("watch %s: %w", f.target.Resource.Resource, err))
		}
	}
	return nil
}

// watch hands events over until the watch ends and returns the last revision
// seen.
func (f *follower) watch(ctx context.Context, rev int64) (int64, error) {
	w, err := f.reg.Watch(ctx, f.target, metav1.ListOptions{ResourceVersion: strconv.FormatInt(rev, 10), AllowWatchBookmarks: true})
	if err != nil {
		return rev, err
	}
	defer w.Stop()
	for ev := range w.Events() {
		batch := append(make([]watch.Event, 0, 16), ev)
	drain:
		for len(batch) < maxEvents {
			select {
			case more, ok := <-w.Events():
				if !ok {
					break drain
				}
				batch = append(batch, more)
			default:
				break drain
			}
		}
		rev = max(rev, batch[len(batch)-1].Revision)
		if !f.send(ctx, change{events: batch}) {
			return rev, nil
		}
	}
	return rev, w.Err()
}

func (f *follower) send(ctx context.Context, c change) bool {
	select {
	case f.out <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *follower) pause(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.log.Warn("follow the registry", "error", err)
	t := f.clock.NewTimer(relistPause)
	defer t.Stop()
	select {
	case <-t.C():
	case <-ctx.Done():
	}
}
