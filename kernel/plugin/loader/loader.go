// Package loader keeps the running plugins in step with the Plugin resources:
// it fetches modules, opens and warms them, hands them to their consumers,
// swaps versions while they run, and writes status.
//
// One goroutine follows the resources and decides; what takes time (compiling,
// opening, the consumers' own warming) is done in jobs, see job.go, so that a
// plugin that hangs holds up nobody else. A plugin that cannot be loaded leaves
// the version before it running. Start at Loader.Run.
package loader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// UserName is the identity under which the loader writes.
const UserName = "system:pintle:plugin-loader"

// Modules gives the bytes of a module by digest, and forgets those that are not
// to be kept; package modules does.
type Modules interface {
	Get(ctx context.Context, digest string) ([]byte, error)
	Collect(ctx context.Context, keep func(digest string, stored time.Time) bool) (removed []string, err error)
}

// Modules that no Plugin names are kept for keepModules, since they are stored
// before their Plugin, and looked for every collectEvery. Those that a Plugin
// named go at the second look after it names them no longer.
const (
	keepModules  = 10 * time.Minute
	collectEvery = time.Minute
)

// Consumer is a sink and the points that it serves.
type Consumer struct {
	Name   string // for messages: "scheduler"
	Points wire.Point
	Sink   plugin.Sink
}

// Config configures a Loader.
type Config struct {
	Registry  registry.Registry
	Modules   Modules
	Hosts     map[v1alpha1.HostKind]plugin.Host
	Consumers []Consumer
	Builtins  []plugin.Builtin
	// Disabled names plugins that are not run, whatever they are; see
	// [DisableAll].
	Disabled []string
	// Quarantine is the policy for plugins that fail.
	Quarantine plugin.QuarantinePolicy
	// StatusEvery is how often counters and events that repeat are written; 0 is
	// 10 s. A change of phase is written within a second, the end of a load at
	// once.
	StatusEvery time.Duration
	// WritesStatus tells whether this server writes status, when there are
	// several; nil is yes.
	WritesStatus func() bool
	Clock        Clock        // nil is the real clock
	Log          *slog.Logger // nil discards
}

// Clock is what a loader needs of time.
type Clock interface {
	clock.WithTicker
	clock.WithDelayedExecution
}

// Loader runs plugins. Run may be called once.
type Loader struct {
	Config
	builtin map[string]plugin.Module // by digest
	faults  chan fault
	results chan result
	first   *progress
	jobs    jobs
	logs    *logs

	// Used by Run's goroutine.
	entries map[string]*entry // by name
	events  *eventSeries
	missing bool // something that ships was deleted
	// used are the digests that Plugins named at the last look for modules, past
	// those that they had named before.
	used, past map[string]bool
}

type fault struct {
	name string
	plugin.Fault
}

// entry is what the loader knows of one Plugin resource.
type entry struct {
	object  *v1alpha1.Plugin // as last seen
	running *plugin.Plugin   // what the consumers hold; nil while none is
	uid     string

	job      int   // number of the load under way; 0 when none is
	observed int64 // generation of the last load that ended
	phase    v1alpha1.Phase
	message  string
	retryAt  time.Time
	tries    int
	dirty    bool // there is news since status was written
	faulty   time.Time
}

// New makes a loader.
func New(c Config) *Loader {
	if c.StatusEvery == 0 {
		c.StatusEvery = 10 * time.Second
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l := &Loader{Config: c, builtin: map[string]plugin.Module{}, entries: map[string]*entry{}, faults: make(chan fault, 64),
		results: make(chan result), first: newProgress(), events: newEventSeries(c.StatusEvery, c.Registry, c.Clock, c.Log)}
	l.jobs = newJobs(l)
	l.logs = newLogs(c.Log, c.Clock)
	for _, b := range c.Builtins {
		if b.Module.Digest != "" {
			l.builtin[b.Module.Digest] = b.Module
		}
	}
	return l
}

// Synced is closed when every plugin that existed at the start has been loaded
// or has failed to.
func (l *Loader) Synced() <-chan struct{} { return l.first.synced }

// Admitting is closed when every policy that existed at the start is in its
// place, or something that stands in for it: no request may be admitted before.
func (l *Loader) Admitting() <-chan struct{} { return l.first.admitting }

// Decided is closed when every policy that existed at the start has been loaded
// or has failed to, so that none is waited for any more.
func (l *Loader) Decided() <-chan struct{} { return l.first.decided }

// Check is a readiness check: an error until Decided.
func (l *Loader) Check(context.Context) error {
	names, listed := l.first.undecided()
	switch {
	case isClosed(l.first.decided):
		return nil
	case !listed:
		return errors.New("the policies have not been read yet")
	}
	return fmt.Errorf("policies are being loaded: %s", strings.Join(names, ", "))
}

var errWatchEnded = errors.New("watch ended")

// Run loads plugins until ctx ends, then takes them from their consumers, but
// for an Expecter: requests that policies decide about may be under way.
func (l *Loader) Run(ctx context.Context) error {
	ctx = request.WithUser(ctx, &user.DefaultInfo{Name: UserName, Groups: []string{user.SystemPrivilegedGroup}})
	defer l.stop()
	for {
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errWatchEnded) {
			l.Log.Warn("plugins are not followed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.Clock.After(time.Second):
		}
	}
}

func (l *Loader) stop() {
	for name := range l.entries {
		l.jobs.remove(name, true)
	}
	l.jobs.wait()
}

// follow lists the plugins, loads them, and goes on with their changes.
func (l *Loader) follow(ctx context.Context) error {
	if err := l.ensureBuiltins(ctx); err != nil {
		return err
	}
	target := registry.Target{Resource: v1alpha1.Plugins}
	list, err := l.Registry.List(ctx, target, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list plugins: %w", err)
	}
	present := map[string]bool{}
	for _, o := range list.Items {
		present[o.Name] = true
		l.see(ctx, o)
	}
	for name := range l.entries {
		if !present[name] {
			l.remove(name)
		}
	}
	l.first.allListed()
	if unknown := l.unknownDisabled(); len(unknown) > 0 {
		l.Log.Warn("--disable-plugin names no plugin that there is", "plugins", unknown)
	}
	w, err := l.Registry.Watch(ctx, target, metav1.ListOptions{ResourceVersion: fmt.Sprint(list.Revision)})
	if err != nil {
		return fmt.Errorf("watch plugins: %w", err)
	}
	defer w.Stop()
	return l.loop(ctx, w)
}

func (l *Loader) loop(ctx context.Context, w registry.Watcher) error {
	tick := l.Clock.NewTicker(time.Second)
	defer tick.Stop()
	counters := l.Clock.Now().Add(l.StatusEvery)
	collect := l.Clock.Now()
	l.writeStatus(ctx, true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Events():
			if !ok {
				return errors.Join(errWatchEnded, w.Err())
			}
			switch e.Type {
			case watch.Added, watch.Modified:
				l.see(ctx, e.Object)
			case watch.Deleted:
				l.remove(e.Object.Name)
				l.missing = l.missing || l.ships(e.Object.Name)
			}
		case r := <-l.results:
			l.finish(ctx, r)
		case f := <-l.faults:
			l.noteFault(ctx, f)
		case now := <-tick.C():
			l.retry(ctx, now)
			all := !now.Before(counters)
			if all {
				counters = now.Add(l.StatusEvery)
			}
			l.writeStatus(ctx, all)
			l.writeEvents(ctx, now)
			l.restore(ctx)
			if !now.Before(collect) {
				collect = now.Add(collectEvery)
				l.collect(ctx, now)
				known := func(name string) bool { return l.entries[name] != nil }
				l.jobs.sweep(known)
				l.logs.sweep(known)
			}
		}
	}
}

// collect forgets modules of plugins that were replaced or removed.
func (l *Loader) collect(ctx context.Context, now time.Time) {
	if l.Modules == nil || l.WritesStatus != nil && !l.WritesStatus() {
		return
	}
	used := map[string]bool{}
	for _, e := range l.entries {
		used[e.object.Spec.Digest] = true
		if e.running != nil {
			used[e.running.Spec.Digest] = true
		}
	}
	gone := l.past
	l.past = map[string]bool{}
	for digest := range l.used {
		l.past[digest] = !used[digest]
	}
	l.used = used
	removed, err := l.Modules.Collect(ctx, func(digest string, stored time.Time) bool {
		return used[digest] || !gone[digest] && stored.After(now.Add(-keepModules))
	})
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("unused modules are not removed", "error", err)
	}
	for _, digest := range removed {
		l.Log.Info("unused module removed", "digest", digest)
	}
}

// see takes notice of a Plugin resource and loads it when its spec is new.
func (l *Loader) see(ctx context.Context, o *watch.Object) {
	p, ok := o.Obj.(*v1alpha1.Plugin)
	if !ok {
		return
	}
	e := l.entries[p.Name]
	if e != nil && e.uid != string(p.UID) {
		l.remove(p.Name)
		e = nil
	}
	if e == nil {
		e = &entry{uid: string(p.UID), phase: v1alpha1.Pending, dirty: true}
		l.entries[p.Name] = e
		l.first.add(p.Name, l.weightOf(p))
	}
	same := e.object != nil && equality.Semantic.DeepEqual(e.object.Spec, p.Spec)
	e.object = p
	if l.disabled(p) {
		l.disable(e)
		return
	}
	if same && (e.running != nil || e.job != 0 || !e.retryAt.IsZero()) {
		return
	}
	e.tries = 0
	l.load(ctx, e)
}

// retry tries again what failed for a reason that may pass.
func (l *Loader) retry(ctx context.Context, now time.Time) {
	for _, e := range l.entries {
		if !e.retryAt.IsZero() && !now.Before(e.retryAt) {
			l.load(ctx, e)
		}
		l.recover(e, now)
	}
}

// Between two tries to load: a second, doubling to a minute.
const (
	firstRetry = time.Second
	maxRetry   = time.Minute
)

// load begins to open the plugin of e and to swap it in.
func (l *Loader) load(ctx context.Context, e *entry) {
	e.retryAt = time.Time{}
	if _, shipped := l.builtin[e.object.Spec.Digest]; !shipped && e.running == nil && e.phase != v1alpha1.Loading && e.tries == 0 {
		// Compiling an upload may take seconds: show that it is under way.
		l.set(e, v1alpha1.Loading, "")
		l.writeStatus(ctx, false)
	}
	e.job = l.jobs.load(ctx, e.object, e.tries > 0)
}

// finish takes in how a load went.
func (l *Loader) finish(ctx context.Context, r result) {
	e := l.entries[r.object.Name]
	if e == nil || e.job != r.job {
		return // it is gone, or another load is under way
	}
	defer l.first.ended(r.object.Name)
	e.job, e.observed, e.dirty = 0, r.object.Generation, true
	if r.running != e.running {
		e.running, e.faulty = r.running, time.Time{}
	}
	if r.err == nil {
		l.set(e, v1alpha1.Ready, "")
		l.Log.Info("plugin loaded", "plugin", r.object.Name, "digest", r.object.Spec.Digest, "points", r.running.Manifest.Points.Names())
	} else {
		l.failed(e, r.err)
	}
	l.writeStatus(ctx, false) // somebody waits for it
}

// failed says why a plugin was not loaded, and when that is tried again.
func (l *Loader) failed(e *entry, err error) {
	l.Log.Warn("plugin not loaded", "plugin", e.object.Name, "error", err)
	e.retryAt = l.Clock.Now().Add(min(firstRetry<<min(e.tries, 10), maxRetry))
	e.tries++
	switch {
	case e.running != nil:
		l.set(e, v1alpha1.Degraded, "the version before is running: "+wire.Detail(err))
	case errors.Is(err, errNoModule):
		e.tries = 1 // somebody is about to upload it: keep looking
		l.set(e, v1alpha1.Pending, err.Error())
		return
	default:
		l.set(e, v1alpha1.Failed, wire.Detail(err))
	}
	l.events.note(e.object, reasonNotLoaded, err.Error())
}

func (l *Loader) remove(name string) {
	e := l.entries[name]
	if e == nil {
		return
	}
	delete(l.entries, name)
	l.events.forget(e.object)
	l.jobs.remove(name, false)
	l.first.ended(name)
	l.Log.Info("plugin removed", "plugin", name)
}

// maxMessage bounds status.message, in bytes: a stack is in it.
const maxMessage = 1024

// set changes the phase.
func (l *Loader) set(e *entry, phase v1alpha1.Phase, message string) {
	message = clip(message, maxMessage)
	if e.phase != phase || e.message != message {
		e.phase, e.message, e.dirty = phase, message, true
	}
}
