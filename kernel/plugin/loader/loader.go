// Package loader keeps the running plugins in step with the Plugin resources:
// it fetches modules, opens and warms them, delivers them to their consumers,
// swaps versions while they run, and writes status.
//
// One goroutine handles what an informer tells of the resources, and decides; what takes time (compiling,
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
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Modules gives the bytes of a module by digest, and forgets those that are not
// to be kept; package modules does.
type Modules interface {
	Get(ctx context.Context, digest string) ([]byte, error)
	Collect(ctx context.Context, keep func(digest string, stored time.Time) bool) (removed []string, err error)
}

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
	// several: of those the one whose scheduler and controllers use the plugins,
	// once it has told what they refuse (see Loader.Refused). nil is yes.
	WritesStatus func() bool
	// Server names this server in events: each tells of what happens to plugins on
	// it. May be "".
	Server    string
	Clock     Clock             // nil is the real clock
	Informers *informer.Metrics // nil: what is followed is not counted
	Log       *slog.Logger      // nil discards
}

// Clock is what a loader needs of time.
type Clock interface {
	clock.WithTicker
	clock.WithDelayedExecution
}

// Loader runs plugins. Run may be called once.
type Loader struct {
	Config
	shipped *shipped
	leftOut disabled
	opener  *opener
	faults  chan fault
	results chan result
	refused chan refusal
	awaited chan awaited
	first   *progress
	jobs    jobs
	logs    *logs

	// Used by Run's goroutine.
	entries entries
	events  *eventSeries
	garbage *garbage
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
	refused  map[string]string // by consumer, why it does not use what is running
	awaits   []string          // resources that what is running watches and nobody has defined
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
	l := &Loader{Config: c, entries: entries{}, faults: make(chan fault, 64),
		results: make(chan result), refused: make(chan refusal), awaited: make(chan awaited), first: newProgress(), events: newEventSeries(c.StatusEvery, c.Server, c.Registry, c.Clock, c.Log)}
	l.jobs = newJobs(l)
	l.logs = newLogs(c.Log, c.Clock)
	l.shipped = newShipped(c.Registry, c.Builtins, c.Log)
	l.leftOut = c.Disabled
	l.garbage = &garbage{modules: c.Modules, log: c.Log}
	l.opener = &opener{hosts: c.Hosts, modules: c.Modules, shipped: l.shipped, quarantine: c.Quarantine, clock: c.Clock, logs: l.logs, faults: l.faults}
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

// Refused tells that a consumer has lost a plugin that it took before, because of
// err, and tries again to get it in place; with a nil err, that it is in place
// again. The status says so as long. It returns when the loader has taken notice,
// or ctx has ended, and may be called while Run runs.
func (l *Loader) Refused(ctx context.Context, consumer, name string, err error) {
	select {
	case l.refused <- refusal{consumer, name, err}:
	case <-ctx.Done():
	}
}

// Awaits tells that the controller of a plugin has watched resources for a while that
// nobody has defined; none: they are there now. The status says so as long. It
// returns and may be called as Refused.
func (l *Loader) Awaits(ctx context.Context, name string, resources []string) {
	select {
	case l.awaited <- awaited{name, resources}:
	case <-ctx.Done():
	}
}

// sync takes notice of a Plugin resource and loads it when its spec is new.
func (l *Loader) sync(ctx context.Context, o *watch.Object) {
	p, ok := o.Obj.(*v1alpha1.Plugin)
	if !ok {
		return
	}
	ships := l.shipped.runs(p)
	leftOut := l.leftOut.has(p.Name, ships)
	e := l.entries[p.Name]
	if e != nil && e.uid != string(p.UID) {
		l.remove(p.Name)
		e = nil
	}
	if e == nil {
		e = &entry{uid: string(p.UID), phase: v1alpha1.Pending, dirty: true}
		l.entries[p.Name] = e
		l.first.add(p.Name, weightOf(p, leftOut, ships))
	}
	same := e.object != nil && equality.Semantic.DeepEqual(e.object.Spec, p.Spec)
	e.object = p
	if leftOut {
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
		e.recover(now)
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
	if !l.shipped.has(e.object.Spec.Digest) && e.running == nil && e.phase != v1alpha1.Loading && e.tries == 0 {
		// Compiling an upload may take seconds: show that it is under way.
		e.set(v1alpha1.Loading, "")
		l.writeStatus(ctx, false)
	}
	e.job = l.jobs.load(ctx, e.object, e.tries > 0)
}

// finish handles the result of a load.
func (l *Loader) finish(ctx context.Context, r result) {
	e := l.entries[r.object.Name]
	if e == nil || e.job != r.job {
		return // it is gone, or another load is under way
	}
	defer l.first.ended(r.object.Name)
	e.job, e.observed, e.dirty = 0, r.object.Generation, true
	if r.running != e.running {
		e.running, e.faulty, e.awaits = r.running, time.Time{}, nil
	}
	e.keepRefusals(l.Consumers)
	if r.err == nil {
		e.set(v1alpha1.Ready, "")
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
		e.set(v1alpha1.Degraded, "the version before is running: "+wire.Detail(err))
	case errors.Is(err, errNoModule):
		e.tries = 1 // somebody is about to upload it: keep looking
		e.set(v1alpha1.Pending, err.Error())
		return
	default:
		e.set(v1alpha1.Failed, wire.Detail(err))
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
func (e *entry) set(phase v1alpha1.Phase, message string) {
	message = clip(message, maxMessage)
	if e.phase != phase || e.message != message {
		e.phase, e.message, e.dirty = phase, message, true
	}
}
