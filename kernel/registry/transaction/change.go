package transaction

import (
	"bytes"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// MaxObjectBytes is the largest stored object, etcd's default request size.
const MaxObjectBytes = 3 << 19 // 1.5 MiB

// Change is one planned write: an object's next state and what is written
// together with it. A plan makes it, and has it encoded ([Committer.Encode]) if
// there is an object after.
type Change struct {
	ID  recent.ID
	Old *watch.Object  // state before; nil when created
	Obj runtime.Object // state after; nil when deleted

	Shared    bool // Obj shares memory with Old
	Tracked   bool // Obj rests on its managedFields: they are not dropped to save room
	Noop      bool // nothing to write
	Generated bool // the server chose the name
	Deleting  bool // Obj is marked for deletion and stays
	// Last is what the client is shown of a deleted object, if not Old.
	Last runtime.Object
	// Reply makes the client's answer from the state after the write, when
	// that is not the object itself; a nil answer is the object.
	Reply func(o *watch.Object) (runtime.Object, error)
	// Charges are made when something is written, and only then.
	Charges []Charge

	value      []byte // Obj as it is stored
	companions []companion
}

// ops are the store operations, the principal's first; of a Noop, the check that it
// is one.
func (ch *Change) ops() []store.Op {
	ops := make([]store.Op, 0, 1+len(ch.companions))
	expect := store.Absent
	if ch.Old != nil {
		expect = ch.Old.Revision
	}
	if ch.Noop {
		return append(ops, store.Op{Key: ch.ID.Key, Expect: expect, Check: true})
	}
	ops = append(ops, store.Op{Key: ch.ID.Key, Value: ch.value, Expect: expect})
	for _, x := range ch.companions {
		ops = append(ops, x.op)
	}
	return ops
}

// touches tells that one of the operations is on a key.
func (ch *Change) touches(key string) bool {
	return ch.ID.Key == key || slices.ContainsFunc(ch.companions, func(x companion) bool { return x.id.Key == key })
}

// Encode makes what is stored of ch.Obj and brings that to the form in which it
// will be read. An object that is too large is tried without its managedFields,
// unless it is Tracked.
//
// # Errors
//   - Status: RequestEntityTooLarge, or that it cannot be encoded
func (c *Committer) Encode(ch *Change) error {
	d := ch.ID.Definition
	obj, v, err := c.Codec.EncodeCanonical(d, ch.Obj, ch.Shared)
	if err != nil {
		return internal("encoding %s %q: %w", d.GroupResource(), ch.ID.Name, err)
	}
	if len(v) > MaxObjectBytes && !ch.Tracked {
		if m, err := meta.Accessor(ch.Obj); err == nil && len(m.GetManagedFields()) > 0 {
			m.SetManagedFields(nil)
			return c.Encode(ch)
		}
	}
	if len(v) > MaxObjectBytes {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("object of %d bytes, limit is %d", len(v), MaxObjectBytes))
	}
	ch.Obj, ch.value = obj, v
	return nil
}

type sizer interface{ Size() int }

// Unchanged reports whether an encoded change, whose Obj carries Old's
// resourceVersion, has nothing to write. Sizes are compared first: they nearly
// always differ.
func (c *Committer) Unchanged(ch *Change) bool {
	if len(ch.companions) > 0 {
		return false
	}
	a, ok1 := ch.Obj.(sizer)
	b, ok2 := ch.Old.Obj.(sizer)
	if ok1 && ok2 && a.Size() != b.Size() {
		return false
	}
	before, err := c.Codec.EncodeStorage(ch.ID.Definition, ch.Old.Obj)
	return err == nil && bytes.Equal(before, ch.value)
}

// applied records what a commit wrote and gives the object's new state (of a
// deletion the last one, at the revision of the deletion).
func (c *Committer) applied(ch *Change, rev int64) *watch.Object {
	for _, x := range ch.companions {
		if x.op.Check || x.superseded {
			continue
		}
		c.Objects.Record(x.id, x.obj, len(x.op.Value), rev)
	}
	o := c.Objects.Record(ch.ID, ch.Obj, len(ch.value), rev)
	if ch.Obj == nil {
		return ch.lastState(rev)
	}
	return o
}

// lastState is what the client sees of a deleted object.
func (ch *Change) lastState(rev int64) *watch.Object {
	last := ch.Last
	if last == nil {
		last = ch.Old.Obj.DeepCopyObject()
	}
	if rev > 0 {
		if m, err := meta.Accessor(last); err == nil {
			m.SetResourceVersion(recent.FormatRevision(rev))
		}
	}
	return ch.state(last, rev)
}

func (ch *Change) state(obj runtime.Object, rev int64) *watch.Object {
	return &watch.Object{Key: ch.ID.Key, Namespace: ch.ID.Namespace, Name: ch.ID.Name, Revision: rev, Obj: obj}
}

// result is the answer; o is the state after the write, nil when nothing was
// written (no change, or a dry run).
func (ch *Change) result(w *Write, o *watch.Object) (*Result, error) {
	switch {
	case o != nil:
	case ch.Noop:
		o = ch.Old
	case ch.Obj != nil:
		o = ch.state(ch.Obj, recent.RevisionOf(ch.Old))
	default:
		o = ch.lastState(recent.RevisionOf(ch.Old))
	}
	res := &Result{Object: o, Revision: o.Revision, Created: ch.Old == nil, Deleting: ch.Deleting, Warnings: w.warnings}
	if ch.Reply != nil {
		answer, err := ch.Reply(o)
		if err != nil {
			return nil, status.Plain(err)
		}
		if answer != nil {
			res.Answer, res.Object = answer, nil
		}
	}
	return res, nil
}
