package transaction

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/store"
)

// BatchResult is the answer to one write of a batch.
type BatchResult struct {
	Result *Result
	Err    error
}

// Batch brings n writes into the store in few commits. item makes the write of an
// index; it is called by several goroutines, and what it panics with is the error
// of its write. Writes are planned side by side; those that pass are committed in
// chunks. When a commit fails for one, that one is planned again and the others go
// again as they are. Writes of one key take effect in their order.
//
// atomic: every write in one commit, or none; the first that fails fails
// all others with it. What needs no write is still so when the others are written.
// More than one commit takes are refused. Of two items that write one object the
// later has the error, as if it followed the other; but companions, which a hook
// chose, are chosen again beside what the others do, and may change one object one
// after another.
//
// # Errors
// Those of a write are in its result. The batch itself fails when it cannot be
// atomic.
func (c *Committer) Batch(ctx context.Context, n int, item func(i int) (*Write, error), atomic bool) ([]BatchResult, error) {
	b := &batch{c: c, results: make([]BatchResult, n), slots: make([]slot, n)}
	b.each(n, func(i int) {
		defer b.recovered(i)
		b.slots[i].index = i
		b.slots[i].write, b.results[i].Err = item(i)
	})
	if atomic {
		return b.results, b.atomic(ctx)
	}
	return b.results, b.run(ctx)
}

// batch is a Batch under way.
type batch struct {
	c       *Committer
	slots   []slot
	results []BatchResult
	// whole: atomic; a slot that has nothing to write keeps its change, too.
	whole bool
}

// slot is a write on its way.
type slot struct {
	index  int
	write  *Write
	change *Change // planned and not committed yet
	// upon are changes of other items, by the key of a companion that this item
	// writes on top of what they do.
	upon map[string]*Change
}

// recovered, deferred around what asks a kind's hooks for an item, makes a panic of
// theirs the error of the item.
func (b *batch) recovered(item int) {
	if p := recover(); p != nil {
		b.results[item] = BatchResult{Err: b.c.panicked(p)}
	}
}

// each runs f for 0..n-1 on as many goroutines as there are processors, and
// returns when all are done.
func (b *batch) each(n int, f func(int)) {
	workers := min(runtime.GOMAXPROCS(0), (n+minPerWorker-1)/minPerWorker)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				// A few at a time, so that workers do not meet at the counter.
				end := next.Add(grab)
				for i := end - grab; i < min(end, int64(n)); i++ {
					f(int(i))
				}
				if end >= int64(n) {
					return
				}
			}
		})
	}
	wg.Wait()
}

const (
	minPerWorker = 16
	grab         = 8
)

// run plans and commits until every item has its answer.
func (b *batch) run(ctx context.Context) error {
	pending := make([]*slot, 0, len(b.slots))
	for i := range b.slots {
		if b.slots[i].write != nil && b.results[i].Err == nil {
			pending = append(pending, &b.slots[i])
		}
	}
	for len(pending) > 0 {
		round, later := b.distinct(pending)
		if pending = append(b.round(ctx, round), later...); ctx.Err() != nil {
			for _, s := range pending {
				b.results[s.index].Err = s.write.storeError(s.write.ID.Name, ctx.Err())
			}
			return nil
		}
	}
	return nil
}

// distinct takes the first item of every key; the others must wait for it.
func (b *batch) distinct(pending []*slot) (round, later []*slot) {
	seen := make(map[string]bool, len(pending))
	round = make([]*slot, 0, len(pending))
	for _, s := range pending {
		key := s.write.ID.Key
		switch {
		case key == "": // a name is still to be generated: free by itself
		case seen[key]:
			later = append(later, s)
			continue
		default:
			seen[key] = true
		}
		round = append(round, s)
	}
	return round, later
}

// round plans the slots, commits them in chunks, some of which are on their way
// at once, and returns those to go again. The last item follows by itself, so
// that what a list then answers is hardly ever a revision of several objects,
// whose events a watch from there would repeat (RATIONALE.md, "Why may a watch
// tell events twice?").
func (b *batch) round(ctx context.Context, slots []*slot) (again []*slot) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	inFlight := make(chan struct{}, chunksInFlight)
	var last []*slot
	for len(slots) > 0 {
		n := min(len(slots), commitOps)
		chunk := slots[:n]
		slots = slots[n:]
		b.plan(ctx, chunk)
		if len(slots) == 0 {
			chunk, last = cutLast(chunk)
		}
		inFlight <- struct{}{}
		wg.Go(func() {
			defer func() { <-inFlight }()
			left := b.commitPlanned(ctx, chunk)
			mu.Lock()
			again = append(again, left...)
			mu.Unlock()
		})
	}
	wg.Wait()
	return append(again, b.commitPlanned(ctx, last)...)
}

// cutLast takes the last slot that has something to write off.
func cutLast(slots []*slot) (others, last []*slot) {
	n := len(slots)
	for n > 0 && slots[n-1].change == nil {
		n--
	}
	if n == 0 {
		return nil, nil
	}
	return slots[:n-1], slots[n-1 : n]
}

// chunksInFlight: while one commit waits for the disk, the next is made ready.
const chunksInFlight = 3

// plan prepares the slots that have no change yet. Those that fail, or have
// nothing to write, get their answer.
func (b *batch) plan(ctx context.Context, slots []*slot) {
	room := b.room()
	b.each(len(slots), func(i int) {
		s := slots[i]
		if s.change != nil {
			return
		}
		defer b.recovered(s.index)
		if room.Load() < 0 {
			b.results[s.index].Err = errTooMuch
			return
		}
		ch, err := b.c.prepare(ctx, s.write)
		if gone := b.c.served(s.write); gone != nil {
			err = gone
		}
		switch {
		case err != nil:
			b.results[s.index].Err = err
		case room.Add(-int64(len(ch.value))) < 0:
			b.results[s.index].Err = errTooMuch
		case ch.Noop && !b.whole || s.write.DryRun:
			b.answer(s, ch, 0)
		default:
			s.change = ch
		}
	})
}

// maxAtomicBytes is what an embedded etcd takes in one request; items of an atomic batch
// are all held until then, those of a dry run, too.
const maxAtomicBytes = 8 << 20

var errTooMuch = apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("an atomic batch writes at most %d bytes", maxAtomicBytes))

// room is how many bytes more may be planned.
func (b *batch) room() *atomic.Int64 {
	var n atomic.Int64
	if !b.whole { // whose other slots are being committed meanwhile
		n.Store(math.MaxInt64)
		return &n
	}
	n.Store(maxAtomicBytes)
	for i := range b.slots {
		if ch := b.slots[i].change; ch != nil {
			n.Add(-int64(len(ch.value)))
		}
	}
	return &n
}

// answer fills in an item's result; rev 0 means that nothing was written.
func (b *batch) answer(s *slot, ch *Change, rev int64) {
	defer b.recovered(s.index)
	res := &b.results[s.index]
	if rev == 0 {
		res.Result, res.Err = ch.result(s.write, nil)
		return
	}
	res.Result, res.Err = ch.result(s.write, b.c.applied(ch, rev))
}

// commitPlanned commits the slots' changes in as few commits as their
// operations and keys allow, and returns the slots to go again.
func (b *batch) commitPlanned(ctx context.Context, slots []*slot) (again []*slot) {
	var g group
	for _, s := range slots {
		if s.change == nil {
			continue
		}
		if gone := b.c.served(s.write); gone != nil { // since it was planned
			b.results[s.index].Err, s.change = gone, nil
			continue
		}
		if mine := s.change.ops(); !g.add(s, mine) {
			again = append(again, b.commit(ctx, g.slots, g.ops)...)
			g = group{}
			g.add(s, mine)
		}
	}
	if len(g.slots) > 0 {
		again = append(again, b.commit(ctx, g.slots, g.ops)...)
	}
	return again
}

// commit writes one group. An item that stands in the way is taken out, and
// the others go again, until they pass.
func (b *batch) commit(ctx context.Context, group []*slot, ops []store.Op) (again []*slot) {
	for len(group) > 0 {
		rev, err := b.c.store(ctx, ops, changesOf(group)...)
		if err == nil {
			for _, s := range group {
				b.answer(s, s.change, rev)
				s.change = nil
			}
			return again
		}
		guilty := blame(group, err)
		if len(guilty) == 0 {
			return append(again, b.split(ctx, group, ops, err)...)
		}
		kept, keptOps, at := make([]*slot, 0, len(group)), make([]store.Op, 0, len(ops)), 0
		for i, s := range group {
			n := 1 + len(s.change.companions)
			if !slices.Contains(guilty, i) {
				kept, keptOps = append(kept, s), append(keptOps, ops[at:at+n]...)
			} else if b.lost(ctx, s, err) {
				again = append(again, s)
			}
			at += n
		}
		group, ops = kept, keptOps
	}
	return again
}

func changesOf(slots []*slot) []*Change {
	out := make([]*Change, len(slots))
	for i, s := range slots {
		out[i] = s.change
	}
	return out
}

// lost handles a commit that an item stood in the way of, and reports whether the
// item is to be planned again; else it has its error.
func (b *batch) lost(ctx context.Context, s *slot, err error) bool {
	defer b.recovered(s.index)
	ch := s.change
	s.change, s.upon = nil, nil
	res := &b.results[s.index]
	res.Err = b.c.lost(ctx, s.write, ch, err)
	return res.Err == nil
}

// blame finds the items that stand in the way of a commit: the one whose operation a
// conflict is about, those whose charges do not fit; none if the error is about none.
func blame(group []*slot, err error) []int {
	if unfit, ok := errors.AsType[*unfitError](err); ok {
		return unfit.changes
	}
	conflict, ok := errors.AsType[*store.ConflictError](err)
	if !ok {
		return nil
	}
	at := 0
	for i, s := range group {
		if at += 1 + len(s.change.companions); conflict.Index < at {
			return []int{i}
		}
	}
	return nil
}

// split handles an error that is about no item: a commit that is too large is
// tried in halves, any other error is everyone's.
func (b *batch) split(ctx context.Context, group []*slot, ops []store.Op, err error) []*slot {
	if errors.Is(err, store.ErrTooLarge) && len(group) > 1 {
		half := len(group) / 2
		cut := 0
		for _, s := range group[:half] {
			cut += 1 + len(s.change.companions)
		}
		return append(b.commit(ctx, group[:half], ops[:cut]), b.commit(ctx, group[half:], ops[cut:])...)
	}
	b.failAll(group, err)
	return nil
}

func (b *batch) failAll(group []*slot, err error) {
	for _, s := range group {
		b.results[s.index].Err = s.write.storeError(s.change.ID.Name, err)
		s.change = nil
	}
}
