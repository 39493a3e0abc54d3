package registry

import (
	"context"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Batch runs many writes in few commits. Each is planned, and so validated and
// admitted, by itself: see [transaction.Committer.Batch].
func (c caller) Batch(ctx context.Context, items []BatchItem, atomic bool) ([]BatchResult, error) {
	return c.core.tx.Batch(ctx, len(items), func(i int) (*transaction.Write, error) {
		r, err := c.batchRequest(ctx, &items[i])
		if err != nil {
			return nil, err
		}
		return &r.Write, nil
	}, atomic)
}

// IsAborted tells that an item of an atomic batch was not refused itself: another was.
func IsAborted(err error) bool { return transaction.IsAborted(err) }

// batchRequest makes the request of an item.
func (c caller) batchRequest(ctx context.Context, it *BatchItem) (*request, error) {
	k, err := c.core.kindOf(ctx, it.Target)
	if err != nil {
		return nil, err
	}
	switch {
	case k.Virtual:
		return nil, status.BadRequestf("%s cannot be part of a batch", k.GR)
	case it.Verb == verbCreate && it.Target.Subresource != "":
		r, err := c.newAction(ctx, k, it.Target, it.Object, it.Options)
		if err == nil && c.core.actions[action(k, r.sub)] != nil {
			return nil, status.BadRequestf("%s cannot be part of a batch", k.SubresourceName(r.sub))
		}
		return r, err
	case it.Verb == verbCreate:
		return c.newCreate(ctx, k, it.Target, it.Object, it.Options)
	case it.Verb == verbUpdate:
		return c.newUpdate(k, it.Target, it.Object, it.Options)
	case it.Verb == verbPatch:
		return c.batchPatch(k, it)
	case it.Verb == verbDelete:
		o := it.Delete
		if it.Options.DryRun {
			o.DryRun = []string{"All"}
		}
		return c.newDelete(k, it.Target, o)
	}
	return nil, status.BadRequestf("unknown verb %q in a batch", it.Verb)
}

// batchPatch makes the request of a patch. The memory of its result is counted while it
// is planned only: a batch that held that of all its patches could wait for itself.
func (c caller) batchPatch(k *kinds.Kind, it *BatchItem) (*request, error) {
	r, p, err := c.newPatch(k, it.Target, it.PatchType, it.Patch, it.Options)
	if err != nil {
		return nil, err
	}
	plan := r.Plan
	r.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		defer p.Release()
		return plan(ctx, cur)
	}
	return r, nil
}
