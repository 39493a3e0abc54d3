package transaction

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
	for {
		ops, failed, err := b.planAll(ctx)
		if err != nil || failed || len(ops) == 0 {
			return err
		}
		rev, err := b.c.Store.Commit(ctx, ops)
		if err == nil {
			for i := range b.slots {
				if s := &b.slots[i]; s.change != nil {
					b.answer(s, s.change, rev)
				}
			}
			return nil
		}
		if b.blameOne(ctx, err) {
			return nil
		}
	}
}

// planAll plans what has no change. failed: an item cannot be written, and all
// have their answers.
func (b *batch) planAll(ctx context.Context) (ops []store.Op, failed bool, err error) {
	pending := make([]*slot, 0, len(b.slots))
	for i := range b.slots {
		if b.results[i].Err != nil {
			b.abort()
			return nil, true, nil
		}
		b.results[i].Result = nil
		pending = append(pending, &b.slots[i])
	}
	b.plan(ctx, pending)
	keys := make(map[string]bool, len(pending))
	for _, s := range pending {
		if b.results[s.index].Err != nil {
			b.abort()
			return nil, true, nil
		}
		if s.change == nil {
			continue // nothing to write
		}
		for _, op := range s.change.ops() {
			if keys[op.Key] {
				return nil, false, status.BadRequestf("an atomic batch may write an object only once: %s", op.Key)
			}
			keys[op.Key] = true
			ops = append(ops, op)
		}
	}
	if len(ops) > store.MaxOps {
		return nil, false, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("%d writes in an atomic batch, limit is %d", len(ops), store.MaxOps))
	}
	return ops, false, nil
}

// blameOne gives a failed commit to its item; true ends the batch.
func (b *batch) blameOne(ctx context.Context, err error) bool {
	var group []*slot
	for i := range b.slots {
		if b.slots[i].change != nil {
			group = append(group, &b.slots[i])
		}
	}
	i, _, _ := blame(group, err)
	if i < 0 {
		b.failAll(group, err)
		b.abort()
		return true
	}
	s := group[i]
	if lost := b.c.lost(ctx, s.write, s.change, err); lost != nil {
		b.results[s.index].Err = lost
		b.abort()
		return true
	}
	s.change = nil
	return false
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
