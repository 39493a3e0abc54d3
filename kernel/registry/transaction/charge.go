package transaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
)

// Charge changes another object in the commit that writes a change, on top of
// whatever state that object has then: a total that it keeps. Unlike companions,
// charges of several writes on one object do not stand in each other's way: who
// comes later adds to what the others left.
//
// RATIONALE.md: "Why does a rule charge, instead of writing?"
type Charge struct {
	ID recent.ID // of the object, which must be there
	// Apply makes the state after the charge of cur, which it does not modify and may
	// share. An error says that the charge does not fit that state: the write is
	// planned again.
	Apply func(cur runtime.Object) (runtime.Object, error)
}

// unfitError: charges of changes do not fit the objects as they are. Nothing was
// committed.
type unfitError struct {
	changes []int // whose, of those to be committed
	err     error // of the first
}

func (e *unfitError) Error() string { return e.err.Error() }

// maxCharged bounds the objects that one write may charge.
const maxCharged = 64

// store commits ops, which are those of changes, with what these charge.
//
// # Errors
//   - *unfitError
//   - those of the store; a [store.ConflictError] is about one of ops
func (c *Committer) store(ctx context.Context, ops []store.Op, changes ...*Change) (revision int64, err error) {
	keys, err := chargedKeys(ops, changes)
	if err != nil || len(keys) == 0 {
		if err == nil {
			revision, err = c.Store.Commit(ctx, ops)
		}
		return revision, err
	}
	release, err := c.ledger.take(ctx, keys)
	if err != nil {
		return 0, err
	}
	defer release()
	for range maxConflicts {
		b := &books{c: c}
		if err := b.addAll(ctx, changes); err != nil {
			return 0, err
		}
		if revision, err = b.commit(ctx, ops); err == nil {
			return revision, nil
		}
		again, err := b.lost(ctx, len(ops), err)
		if !again {
			return 0, err
		}
	}
	return 0, fmt.Errorf("charging %s: %w", keys[0], store.ErrConflict)
}

// chargedKeys are the keys of the objects that changes charge, in order. None of them
// may be written by one of the changes, too: a commit has one operation for a key.
func chargedKeys(ops []store.Op, changes []*Change) (keys []string, err error) {
	for _, ch := range changes {
		if len(ch.Charges) > maxCharged {
			return nil, internal("%s charges %d objects, %d are allowed", ch.ID.Key, len(ch.Charges), maxCharged)
		}
		for i := range ch.Charges {
			keys = append(keys, ch.Charges[i].ID.Key)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) == 0 {
		return nil, nil
	}
	for _, op := range ops {
		if _, both := slices.BinarySearch(keys, op.Key); both && !op.Check {
			return nil, status.BadRequestf("%s is written, and charged for something else, in one batch: write it in a batch of its own", op.Key)
		}
	}
	return keys, nil
}

// books are charged objects on the way to one commit. Whoever has them has the
// turns of all of their keys.
type books struct {
	c       *Committer
	entries []entry
	written []companion // of the last commit
}

type entry struct {
	id    recent.ID
	state runtime.Object
}

// addAll takes up the charges of changes; those of a change all or none.
func (b *books) addAll(ctx context.Context, changes []*Change) error {
	var unfit *unfitError
	for i, ch := range changes {
		fault, err := b.add(ctx, ch)
		if err != nil {
			return err
		}
		if fault == nil {
			continue
		}
		if unfit == nil {
			unfit = &unfitError{err: fault}
		}
		unfit.changes = append(unfit.changes, i)
	}
	if unfit != nil {
		return unfit
	}
	return nil
}

// add takes up the charges of one change. fault says why they do not fit.
func (b *books) add(ctx context.Context, ch *Change) (fault, err error) {
	next := slices.Clone(b.entries)
	for i := range ch.Charges {
		x := &ch.Charges[i]
		at := slices.IndexFunc(next, func(e entry) bool { return e.id.Key == x.ID.Key })
		if at < 0 {
			cur, err := b.c.current(ctx, x.ID)
			if err != nil {
				return nil, err
			}
			if cur == nil {
				return apierrors.NewNotFound(x.ID.Definition.GroupResource(), x.ID.Name), nil
			}
			at, next = len(next), append(next, entry{x.ID, cur})
		}
		state, err := b.c.apply(x, next[at].state)
		if err != nil {
			return err, nil
		}
		next[at].state = state
	}
	b.entries = next
	return nil, nil
}

// apply is x.Apply, whose panic is its error: commits of batches run on goroutines
// that nobody else guards.
func (c *Committer) apply(x *Charge, cur runtime.Object) (state runtime.Object, err error) {
	defer func() {
		if p := recover(); p != nil {
			state, err = nil, c.panicked(p)
		}
	}()
	return x.Apply(cur)
}

// current is the newest state of an object that this process knows, or the store's.
func (c *Committer) current(ctx context.Context, id recent.ID) (runtime.Object, error) {
	o := c.Objects.Lookup(id)
	if o == nil {
		var err error
		if o, err = c.Objects.Refresh(ctx, id); err != nil || o == nil {
			return nil, err
		}
	}
	return o.Obj, nil
}

// commit writes the books with ops.
func (b *books) commit(ctx context.Context, ops []store.Op) (revision int64, err error) {
	b.written = b.written[:0]
	all := slices.Clone(ops)
	for _, e := range b.entries {
		x, err := b.c.companion(&resource.Companion{Resource: e.id.Definition.GroupResource(), Namespace: e.id.Namespace, Name: e.id.Name, Object: e.state, Update: true})
		if err != nil {
			return 0, err
		}
		b.written, all = append(b.written, x), append(all, x.op)
	}
	if revision, err = b.c.Store.Commit(ctx, all); err != nil {
		return 0, err
	}
	for i := range b.written {
		x := &b.written[i]
		b.c.Objects.Record(x.id, x.obj, len(x.op.Value), revision)
	}
	return revision, nil
}

// lost handles a commit that did not happen: again tells that another server
// changed a charged object, whose new state is known now.
func (b *books) lost(ctx context.Context, ops int, failed error) (again bool, err error) {
	conflict, ok := errors.AsType[*store.ConflictError](failed)
	if !ok || conflict.Index < ops || conflict.Index-ops >= len(b.written) {
		return false, failed
	}
	id := b.written[conflict.Index-ops].id
	if _, err := b.c.Objects.Observe(id, conflict.Current); err != nil {
		return false, err
	}
	// That it is gone is known only once the cache knows it.
	return true, b.c.Objects.CatchUp(ctx)
}

// unfit handles a write whose charges do not fit: nil means that it may be planned
// again, when its plan looks at the objects as they are now.
func (w *Write) unfit(name string, err *unfitError) error {
	w.warnings = nil
	if w.companions++; w.companions < maxCompanionTries {
		return nil
	}
	if status.Is(err.err) {
		return err.err
	}
	return apierrors.NewForbidden(w.gr(), name, err.err)
}
