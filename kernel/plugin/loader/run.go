package loader

import (
	"context"
	"sync"
	"time"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Run loads plugins until ctx ends, then takes them from their consumers, but
// for an Expecter: what plugins decide about may be under way.
func (l *Loader) Run(ctx context.Context) error {
	defer l.stop()
	if !l.ship(ctx) {
		return nil
	}
	updates := make(informer.Updates)
	i := informer.New(informer.Config{Name: "plugin-loader", Registry: l.Registry, Target: registry.Target{Resource: v1alpha1.Plugins},
		Handler: updates, Clock: l.Clock, Metrics: l.Informers, Log: l.Log})
	var following sync.WaitGroup
	following.Go(func() { i.Run(ctx) })
	defer following.Wait()
	l.loop(ctx, updates)
	return nil
}

// Between two tries to make the Plugin resources of what ships.
const (
	firstShipping = 100 * time.Millisecond
	lastShipping  = 5 * time.Second
)

// ship makes the Plugin resources of what ships with Pintle; it reports false
// when ctx ended before.
func (l *Loader) ship(ctx context.Context) bool {
	retry := backoff.New(firstShipping, lastShipping)
	for {
		err := l.shipped.ensure(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			retry.Succeeded(l.Log)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-l.Clock.After(retry.Failed(l.Log, "the plugins that ship with Pintle are not written", err)):
		}
	}
}

func (l *Loader) stop() {
	for name := range l.entries {
		l.jobs.remove(name, true)
	}
	l.jobs.wait()
}

// loop owns the entries: it handles what happens until ctx ends.
func (l *Loader) loop(ctx context.Context, updates <-chan informer.Update) {
	tick := l.Clock.NewTicker(time.Second)
	defer tick.Stop()
	counters := l.Clock.Now().Add(l.StatusEvery)
	collect := l.Clock.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-updates:
			l.update(ctx, u)
		case r := <-l.results:
			l.finish(ctx, r)
		case f := <-l.faults:
			l.noteFault(ctx, f)
		case r := <-l.refused:
			l.noteRefusal(ctx, r)
		case a := <-l.awaited:
			a.keep(ctx, l)
		case now := <-tick.C():
			l.retry(ctx, now)
			all := !now.Before(counters)
			if all {
				counters = now.Add(l.StatusEvery)
			}
			l.writeStatus(ctx, all)
			l.events.write(ctx, now)
			l.shipped.restore(ctx)
			if !now.Before(collect) {
				collect = now.Add(collectEvery)
				l.sweep(ctx, now)
			}
		}
	}
}

// update handles what the informer tells.
func (l *Loader) update(ctx context.Context, u informer.Update) {
	if u.Replace {
		l.replace(ctx, u.Objects)
		return
	}
	for _, e := range u.Events {
		if e.Type == watch.Deleted {
			l.gone(e.Object.Name)
		} else {
			l.sync(ctx, e.Object)
		}
	}
}

// replace brings the entries in line with all Plugins that there are.
func (l *Loader) replace(ctx context.Context, objects []*watch.Object) {
	present := map[string]bool{}
	for _, o := range objects {
		present[o.Name] = true
		l.sync(ctx, o)
	}
	for name := range l.entries {
		if !present[name] {
			l.gone(name)
		}
	}
	if l.first.allListed() {
		if unknown := l.leftOut.unknown(l.entries.known); len(unknown) > 0 {
			l.Log.Warn("--disable-plugin names no plugin that there is", "plugins", unknown)
		}
	}
	l.writeStatus(ctx, true)
}

// gone takes notice that a Plugin was deleted.
func (l *Loader) gone(name string) {
	l.remove(name)
	l.shipped.deleted(name)
}

// sweep forgets what was kept for plugins that are gone.
func (l *Loader) sweep(ctx context.Context, now time.Time) {
	if l.Modules != nil && (l.WritesStatus == nil || l.WritesStatus()) {
		l.garbage.collect(ctx, now, l.entries.digests())
	}
	l.jobs.sweep(l.entries.known)
	l.logs.sweep(l.entries.known)
}

// entries are the Plugins that there are, by name.
type entries map[string]*entry

// known tells whether there is a Plugin of that name.
func (all entries) known(name string) bool { return all[name] != nil }

// digests are those of the modules that Plugins name or that run.
func (all entries) digests() map[string]bool {
	used := map[string]bool{}
	for _, e := range all {
		used[e.object.Spec.Digest] = true
		if e.running != nil {
			used[e.running.Spec.Digest] = true
		}
	}
	return used
}
