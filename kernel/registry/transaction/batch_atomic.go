package transaction

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/store"
)

// abortedError is the answer to items of an atomic batch that could have been
// written.
type abortedError struct{ error }

func (e abortedError) Unwrap() error { return e.error }

// IsAborted tells that an item of an atomic batch was not refused itself: another was.
func IsAborted(err error) bool {
	_, ok := errors.AsType[abortedError](err)
	return ok
}

func errAborted(gr schema.GroupResource, name string) error {
	return abortedError{status.BadRequestf("%s %q was not written: another item of the atomic batch failed", gr, name)}
}

// atomic writes all items in one commit, or none.
func (b *batch) atomic(ctx context.Context) error {
	b.whole = true
	for {
		if !b.planAll(ctx) {
			b.abort()
			return nil
		}
		t := b.together()
		switch {
		case t.refused != nil:
			b.results[t.refused.index].Err = t.err
			b.abort()
			return nil
		case len(t.clashing) > 0:
			b.planBeside(ctx, t.clashing)
			continue
		case len(t.ops) > store.MaxOps:
			return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("%d writes in an atomic batch, limit is %d", len(t.ops), store.MaxOps))
		}
		var rev int64
		if t.writes {
			var err error
			if rev, err = b.c.store(ctx, t.ops, changesOf(t.writers)...); err != nil {
				if b.blameOne(ctx, t, err) {
					return nil
				}
				continue
			}
		}
		b.answerAll(rev)
		return nil
	}
}

// planAll plans what has no change and no answer. It reports false when an item
// cannot be written.
func (b *batch) planAll(ctx context.Context) bool {
	pending := make([]*slot, 0, len(b.slots))
	for i := range b.slots {
		if b.results[i].Err != nil {
			return false
		}
		if b.results[i].Result == nil { // else a dry run
			pending = append(pending, &b.slots[i])
		}
	}
	b.plan(ctx, pending)
	for _, s := range pending {
		if b.results[s.index].Err != nil {
			return false
		}
	}
	return true
}

// together is one commit: the operations of all items that write, then a check for
// each that found nothing to write, so that this is true when the others are
// written. A key has one operation: items that agree on what they found there
// share it.
type together struct {
	ops      []store.Op
	of       []*slot // whose operation it is
	writes   bool
	writers  []*slot // that write something
	clashing []*slot // must be planned again, beside the others
	refused  *slot   // cannot be written with the others, for err
	err      error

	at map[string]int // the operation of a key
}

func (b *batch) together() *together {
	t := &together{at: make(map[string]int, len(b.slots))}
	for _, noop := range []bool{false, true} {
		t.writes = t.writes || noop && len(t.ops) > 0
		for i := range b.slots {
			s := &b.slots[i]
			if s.change == nil || s.change.Noop != noop {
				continue
			}
			if gone := b.c.served(s.write); gone != nil { // since it was planned
				t.refused, t.err = s, gone
				return t
			}
			t.add(s)
		}
	}
	return t
}

// add takes up what an item writes and checks. Of two that want one key, the one
// that can choose another must: its name was drawn, or a hook chose what goes with
// it.
func (t *together) add(s *slot) {
	mine := s.change.ops()
	for i, op := range mine {
		k, taken := t.at[op.Key]
		if !taken || s.agrees(i, op, t.ops[k], t.of[k]) {
			continue
		}
		h := t.of[k]
		switch {
		case s.change.Noop, s.change.Generated, op.Key != s.change.ID.Key:
			t.again(s)
		case h.change.Generated, op.Key != h.change.ID.Key:
			t.again(h)
		default:
			t.refuse(s)
		}
		return
	}
	if !s.change.Noop {
		t.writers = append(t.writers, s)
	}
	for _, op := range mine {
		k, taken := t.at[op.Key]
		switch {
		case !taken:
			t.at[op.Key] = len(t.ops)
			t.ops, t.of = append(t.ops, op), append(t.of, s)
		case !op.Check:
			t.of[k].supersede(op.Key)
			t.ops[k], t.of[k] = op, s
		}
	}
}

// agrees tells that an operation of s can be one with that of h on the same key:
// both were planned from one state of it, and one leaves it as it is, or s changes
// what there is on top of what h makes of it. What two make anew, each for itself,
// is not one.
func (s *slot) agrees(i int, op, held store.Op, h *slot) bool {
	if op.Expect != held.Expect {
		return false
	}
	return op.Check || held.Check || i > 0 && op.Expect != store.Absent && s.upon[op.Key] != nil && s.upon[op.Key] == h.change
}

// supersede notes that another item writes a companion of s, on top of what s would
// have written.
func (s *slot) supersede(key string) {
	for i := range s.change.companions {
		if x := &s.change.companions[i]; x.op.Key == key {
			x.superseded = true
		}
	}
}

// again has an item planned again, beside the others, unless that has not helped so
// often that it never will.
func (t *together) again(s *slot) {
	if s.write.companions++; s.write.companions >= maxCompanionTries {
		t.refuse(s)
		return
	}
	t.clashing = append(t.clashing, s)
}

// refuse says of an item what it would be told if it followed the others by itself.
func (t *together) refuse(s *slot) {
	if t.refused != nil {
		return
	}
	ch := s.change
	t.refused, t.err = s, status.Conflict(s.write.gr(), ch.ID.Name)
	if k, ok := t.at[ch.ID.Key]; ok && ch.Old == nil && t.of[k] != s {
		t.err = status.Exists(s.write.gr(), ch.ID.Name, ch.Generated, false)
	}
}

// planBeside plans items again one after another. Their hooks see what the others
// write, and what those before them do.
func (b *batch) planBeside(ctx context.Context, clashing []*slot) {
	for _, s := range clashing {
		s.change, s.upon = nil, nil
	}
	others := newBeside(b.c.Reader)
	for i := range b.slots {
		others.add(b.slots[i].change)
	}
	for _, s := range clashing {
		w := s.write
		w.warnings, w.known, w.beside = nil, false, others
		b.plan(ctx, []*slot{s})
		w.beside = nil
		s.upon = others.under(s.change)
		others.add(s.change)
	}
}

// blameOne gives a failed commit to those whose it is; true ends the batch.
func (b *batch) blameOne(ctx context.Context, t *together, err error) bool {
	if unfit, ok := errors.AsType[*unfitError](err); ok {
		for _, i := range unfit.changes {
			if !b.lost(ctx, t.writers[i], err) {
				b.abort()
				return true
			}
		}
		return false
	}
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || conflict.Index >= len(t.of) {
		for i := range b.slots {
			if s := &b.slots[i]; s.change != nil {
				b.results[i].Err = s.write.storeError(s.change.ID.Name, err)
				s.change = nil
			}
		}
		b.abort()
		return true
	}
	for i := range b.slots {
		// All that were planned from this state, not only the one whose operation it is.
		if s := &b.slots[i]; s.change != nil && s.change.touches(conflict.Key) && !b.lost(ctx, s, err) {
			b.abort()
			return true
		}
	}
	return false
}

// answerAll fills in the results of a commit.
func (b *batch) answerAll(rev int64) {
	for i := range b.slots {
		switch s := &b.slots[i]; {
		case s.change == nil:
		case s.change.Noop:
			b.answer(s, s.change, 0)
		default:
			b.answer(s, s.change, rev)
		}
	}
}

// abort answers every item that has no error of its own.
func (b *batch) abort() {
	for i := range b.results {
		if r := &b.results[i]; r.Err == nil {
			s := &b.slots[i]
			r.Result = nil
			r.Err = errAborted(s.write.gr(), s.write.ID.Name)
		}
	}
}
