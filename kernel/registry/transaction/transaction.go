// Package transaction brings writes into the store: one, or many in a batch, each
// with the objects of other kinds that belong to it (companions), under the
// preconditions of the states that they were planned from.
//
// A [Write] says what it is about and has a [Plan], which turns the present state
// of its object into a [Change]: the next state, and what is written with it in
// the same commit. The [Committer] asks the plan, commits, and asks again when
// another writer was faster. It knows no verb, no identity and no admission: who
// makes a Write has these in its plan, so that they are asked for every write of a
// batch too. An atomic batch is one commit: all of its writes have one revision.
//
// Objects go to the store through the [Codec]. That values are kept in another form
// there (encrypted) is the store's matter: changes are told from no changes by
// what the Codec makes.
package transaction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Store takes commits; see [store.Store].
type Store interface {
	Commit(ctx context.Context, ops []store.Op) (revision int64, err error)
}

// Codec makes the stored form of objects.
type Codec interface {
	EncodeStorage(d *resource.Definition, obj runtime.Object) ([]byte, error)
	// EncodeCanonical also brings obj to the form in which it will be read.
	EncodeCanonical(d *resource.Definition, obj runtime.Object, shared bool) (runtime.Object, []byte, error)
}

// Definitions finds kinds as they are at the moment; nil when there is none.
type Definitions interface {
	Definition(gr schema.GroupResource) *resource.Definition
}

// Config is what a Committer is made of. All are required.
type Config struct {
	Store       Store
	Objects     *recent.Objects
	Codec       Codec
	Definitions Definitions
	Reader      resource.Reader // for the hooks of companions
	Clock       clock.PassiveClock
	Log         *slog.Logger
}

// Committer writes objects. It is the only one that does. It is safe for concurrent use.
type Committer struct {
	Config
	ledger ledger
}

// New makes a Committer.
func New(cfg Config) *Committer { return &Committer{Config: cfg} }

// Write is one write on its way. It is used by one goroutine at a time, and once.
type Write struct {
	Verb string // for the texts of errors
	// ID is the object; Key is "" while its name is still to be drawn.
	ID   recent.ID
	Plan Plan
	// Blind plans do not depend on the present state: an object is to be created.
	// They are asked with none.
	Blind  bool
	DryRun bool // plan, and do not commit

	cur        *watch.Object // the state the last plan began with
	known      bool          // cur is set
	fresh      bool          // cur came from the store, not from a cache
	stale      bool          // the store keeps cur in a form that is to be rewritten
	conflicts  int
	companions int     // conflicts of companions, and charges that did not fit
	beside     *beside // what hooks read instead, when this is an item of an atomic batch
	warnings   []string
}

// Plan turns the present state of an object, nil if there is none, into a change of
// it. It is asked again, with the state that won, when another writer is faster;
// and once more from the store's state for what it refuses or calls unchanged.
type Plan func(ctx context.Context, cur *watch.Object) (*Change, error)

// Warn adds a warning for the client, "" none. What was warned of in a plan that is
// asked again is forgotten.
func (w *Write) Warn(msg string) {
	if msg != "" {
		w.warnings = append(w.warnings, msg)
	}
}

// Warnings are those so far.
func (w *Write) Warnings() []string { return w.warnings }

func (w *Write) gr() schema.GroupResource { return w.ID.Definition.GroupResource() }

// storeError words a failure of the store.
func (w *Write) storeError(name string, err error) error {
	return status.Store(w.gr(), w.Verb, name, err)
}

// Result is what a write answers.
type Result struct {
	// Object after the write (of a dry run: as it would be). Nil when Answer
	// is set.
	Object *watch.Object
	// Answer is set instead of Object when the verb answers another kind: a
	// Status, a Scale, a TokenRequest.
	Answer runtime.Object
	// Revision of the object after the write, a deletion included: a read at
	// least as new sees it. It is set beside Answer too.
	Revision int64
	// Created is true when update, patch or apply created the object.
	Created bool
	// Deleting is true when a delete left the object in place until its
	// finalizers or its agent are done.
	Deleting bool
	Warnings []string
}

const (
	// maxNameTries is how often upstream draws another name for generateName.
	maxNameTries = 8
	// maxConflicts is how often a write is planned again after another writer
	// was faster. Upstream has no limit but the request's deadline; ours only
	// keeps a request without a deadline from going round for ever.
	maxConflicts = 256
	// maxCompanionTries is how often a companion is chosen again.
	maxCompanionTries = 16
)

// Do plans and commits until the change is in the store. A panic of the plan or of a
// kind's hook is its error: not all who write are requests, whose panics the edge
// catches.
//
// # Errors
//   - Status: the plan's, what the store refused, or NotFound when the kind went
//   - ctx's
func (c *Committer) Do(ctx context.Context, w *Write) (res *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = nil, c.panicked(p)
		}
	}()
	for {
		ch, err := c.prepare(ctx, w)
		if gone := c.served(w); gone != nil {
			return nil, gone
		}
		if err != nil {
			return nil, err
		}
		if ch.Noop || w.DryRun {
			return ch.result(w, nil)
		}
		rev, err := c.store(ctx, ch.ops(), ch)
		if err == nil {
			return ch.result(w, c.applied(ch, rev))
		}
		if err := c.lost(ctx, w, ch, err); err != nil {
			return nil, err
		}
	}
}

// served tells whether the kind of a write is still there. Of one that went while its
// request ran nothing is written: whoever cleared its objects away would not see this
// one, and another kind of that name may come.
func (c *Committer) served(w *Write) error {
	was := w.ID.Definition
	if now := c.Definitions.Definition(w.gr()); now == nil || now.Kind != was.Kind || now.Namespaced != was.Namespaced {
		return status.UnknownResource(w.gr())
	}
	return nil
}

// prepare plans from the state this process knows. What it would refuse, or
// call unchanged, is planned again from the store's state before it is
// answered: a cache may be behind.
func (c *Committer) prepare(ctx context.Context, w *Write) (*Change, error) {
	if w.Blind {
		return w.Plan(ctx, nil)
	}
	if !w.known {
		w.cur, w.known, w.fresh, w.stale = c.Objects.Lookup(w.ID), true, false, false
	}
	ch, err := w.Plan(ctx, w.cur)
	if w.fresh || (err == nil && !ch.Noop && !w.DryRun) {
		return w.renewed(ch), err
	}
	cur, stale, ferr := c.Objects.Reread(ctx, w.ID)
	if ferr != nil {
		return nil, w.storeError(w.ID.Name, ferr)
	}
	same := recent.RevisionOf(cur) == recent.RevisionOf(w.cur)
	w.cur, w.fresh, w.stale = cur, true, stale
	if !same {
		w.warnings = nil
		ch, err = w.Plan(ctx, cur)
	}
	return w.renewed(ch), err
}

// renewed makes a change that changes nothing a write, when the store keeps the object
// in another form than it would now: that is how objects come to a new key, or to a new
// storage version, as upstream's do.
func (w *Write) renewed(ch *Change) *Change {
	if ch != nil && ch.Noop && w.stale && ch.value != nil {
		ch.Noop = false
	}
	return ch
}

// lost handles a commit that did not happen: nil means that the write may be
// planned again.
func (c *Committer) lost(ctx context.Context, w *Write, ch *Change, err error) error {
	if unfit, ok := errors.AsType[*unfitError](err); ok {
		return w.unfit(ch.ID.Name, unfit)
	}
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		return w.storeError(ch.ID.Name, err)
	}
	w.warnings = nil
	if conflict.Key != ch.ID.Key {
		return c.lostCompanion(ctx, w, ch, conflict)
	}
	cur, derr := c.Objects.Observe(ch.ID, conflict.Current)
	if derr != nil {
		return w.storeError(ch.ID.Name, derr)
	}
	w.conflicts++
	switch {
	case w.Blind && ch.Generated && w.conflicts < maxNameTries:
		return nil // another name
	case w.Blind:
		return status.Exists(w.gr(), ch.ID.Name, ch.Generated, recent.Deleting(cur))
	case w.conflicts >= maxConflicts:
		return status.Conflict(w.gr(), ch.ID.Name)
	}
	w.cur, w.known, w.fresh, w.stale = cur, true, true, c.Objects.Stale(ch.ID, conflict.Current)
	return ctx.Err()
}

// lostCompanion: an object to be written together with the principal was taken
// or changed. The next plan chooses again, from the state learned here.
func (c *Committer) lostCompanion(ctx context.Context, w *Write, ch *Change, conflict *store.ConflictError) error {
	for _, x := range ch.companions {
		if x.op.Key != conflict.Key {
			continue
		}
		if _, err := c.Objects.Observe(x.id, conflict.Current); err != nil {
			return w.storeError(ch.ID.Name, err)
		}
		// Before the hook looks again the cache must know what was written with the
		// companion, by another server: a claim whose owner it does not see yet
		// looks like one that was left behind, and would be taken over.
		if err := status.Store(x.id.Definition.GroupResource(), w.Verb, "", c.Objects.CatchUp(ctx)); err != nil {
			return err
		}
	}
	if w.companions++; w.companions >= maxCompanionTries {
		return status.Conflict(w.gr(), ch.ID.Name)
	}
	return nil
}

// CheckAbsent answers what the commit of a dry run that creates would.
func (c *Committer) CheckAbsent(ctx context.Context, w *Write, ch *Change) error {
	cur, err := c.Objects.Refresh(ctx, ch.ID)
	if err != nil {
		return w.storeError(ch.ID.Name, err)
	}
	if cur != nil {
		return status.Exists(w.gr(), ch.ID.Name, ch.Generated, recent.Deleting(cur))
	}
	return nil
}

// panicked is the error of a panic, which the log shows whole.
func (c *Committer) panicked(p any) error {
	c.Log.Error("a write panicked", "panic", p, "stack", string(debug.Stack()))
	return internal("panic: %v", p)
}

// internal is a fault of the code around, told to the client as it is.
func internal(format string, args ...any) error { return status.Plain(fmt.Errorf(format, args...)) }
