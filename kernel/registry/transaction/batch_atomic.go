package transaction

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/store"
)

// errAborted is the answer to items of an atomic batch that could have been
// written.
func errAborted(gr schema.GroupResource, name string) error {
	return status.BadRequestf("%s %q was not written: another item of the atomic batch failed", gr, name)
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
		case t.err != nil:
			return t.err
		case len(t.clashing) > 0:
			b.planBeside(ctx, t.clashing)
			continue
		case len(t.ops) > store.MaxOps:
			return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("%d writes in an atomic batch, limit is %d", len(t.ops), store.MaxOps))
		}
		var rev int64
		if t.writes {
			var err error
			if rev, err = b.c.Store.Commit(ctx, t.ops); err != nil {
				if b.blameOne(ctx, t.group, err) {
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
// written.
type together struct {
	group    []*slot // whose operations these are, in order
	ops      []store.Op
	writes   bool
	clashing []*slot // must be planned again, beside the others
	err      error   // what cannot be done in one commit

	holder map[string]*slot // by key
}

func (b *batch) together() *together {
	t := &together{holder: make(map[string]*slot, len(b.slots))}
	for i := range b.slots {
		if s := &b.slots[i]; s.change != nil && !s.change.Noop {
			t.add(s)
		}
	}
	t.writes = len(t.ops) > 0
	for i := range b.slots {
		if s := &b.slots[i]; s.change != nil && s.change.Noop {
			t.guard(s)
		}
	}
	return t
}

// add takes up what an item writes. Of two that want one key, the one that can
// choose another must: its name was drawn, or a hook chose what goes with it.
func (t *together) add(s *slot) {
	mine := s.change.ops()
	for _, op := range mine {
		h := t.holder[op.Key]
		switch {
		case h == nil:
			continue
		case s.change.Generated || op.Key != s.change.ID.Key:
			t.again(s, op.Key)
		case h.change.Generated || op.Key != h.change.ID.Key:
			t.again(h, op.Key)
		default:
			t.once(op.Key)
		}
		return
	}
	for _, op := range mine {
		t.holder[op.Key] = s
	}
	t.group, t.ops = append(t.group, s), append(t.ops, mine...)
}

func (t *together) again(s *slot, key string) {
	if s.write.companions++; s.write.companions >= maxCompanionTries {
		t.once(key)
		return
	}
	t.clashing = append(t.clashing, s)
}

func (t *together) once(key string) {
	if t.err == nil {
		t.err = status.BadRequestf("an atomic batch may write an object only once: %s", key)
	}
}

// guard takes up an item that has nothing to write. One that another item writes
// has its precondition there.
func (t *together) guard(s *slot) {
	key, old := s.change.ID.Key, recent.RevisionOf(s.change.Old)
	h := t.holder[key]
	if h != nil && key == h.change.ID.Key && recent.RevisionOf(h.change.Old) == old {
		return
	}
	if h != nil { // it was planned from another state
		t.again(s, key)
		return
	}
	t.holder[key] = s
	t.group, t.ops = append(t.group, s), append(t.ops, s.change.ops()...)
}

// planBeside plans items again one after another. Their hooks see what the others
// write, and what those before them do.
func (b *batch) planBeside(ctx context.Context, clashing []*slot) {
	for _, s := range clashing {
		s.change = nil
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
		others.add(s.change)
	}
}

// blameOne gives a failed commit to its item; true ends the batch.
func (b *batch) blameOne(ctx context.Context, group []*slot, err error) bool {
	i, _, _ := blame(group, err)
	if i < 0 {
		b.failAll(group, err)
		b.abort()
		return true
	}
	if !b.lost(ctx, group[i], err) {
		b.abort()
		return true
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
