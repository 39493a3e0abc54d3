package registry

import (
	"bytes"
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// change is one planned write: an object's next state and what is written
// together with it.
type change struct {
	kind                 *kinds.Kind
	key, namespace, name string

	old   *watch.Object  // state before; nil when created
	obj   runtime.Object // state after; nil when deleted
	value []byte         // obj as it is stored
	extra []extra        // companions

	shared    bool // obj shares memory with old
	noop      bool // nothing to write
	generated bool // the server chose the name
	deleting  bool // obj is marked for deletion and stays
	// last is what the client is shown of a deleted object, if not old.
	last runtime.Object
	// reply makes the client's answer from the state after the write, when
	// that is not the object itself.
	reply func(o *watch.Object) (runtime.Object, error)
}

// extra is a companion ready to be written.
type extra struct {
	kind            *kinds.Kind
	namespace, name string
	obj             runtime.Object // nil: deleted
	op              store.Op
}

func newChange(k *kinds.Kind, namespace, name string, old *watch.Object) *change {
	return &change{kind: k, key: k.Key(namespace, name), namespace: k.Scope(namespace), name: name, old: old}
}

// ops are the store operations, the principal's first.
func (ch *change) ops() []store.Op {
	ops := make([]store.Op, 0, 1+len(ch.extra))
	expect := store.Absent
	if ch.old != nil {
		expect = ch.old.Revision
	}
	ops = append(ops, store.Op{Key: ch.key, Value: ch.value, Expect: expect})
	for _, x := range ch.extra {
		ops = append(ops, x.op)
	}
	return ops
}

// encode fills ch.value and brings ch.obj to the form in which it will be read
// from the store. An object that is too large is tried without its
// managedFields, unless the request was an apply, which rests on them.
func (c *Core) encode(r *request, ch *change) error {
	obj, v, err := c.codec.EncodeCanonical(ch.kind.Definition, ch.obj, ch.shared)
	if err != nil {
		return status.Plain(fmt.Errorf("encoding %s %q: %w", ch.kind.GR, ch.name, err))
	}
	if len(v) > MaxObjectBytes && r.verb != verbApply {
		if m, err := accessor(ch.obj); err == nil && len(m.GetManagedFields()) > 0 {
			m.SetManagedFields(nil)
			return c.encode(r, ch)
		}
	}
	if len(v) > MaxObjectBytes {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("object of %d bytes, limit is %d", len(v), MaxObjectBytes))
	}
	ch.obj, ch.value = obj, v
	return nil
}

type sizer interface{ Size() int }

// unchanged reports whether obj, which carries old's resourceVersion, would be
// stored as old is. Sizes are compared first: they nearly always differ.
func (c *Core) unchanged(ch *change) bool {
	a, ok1 := ch.obj.(sizer)
	b, ok2 := ch.old.Obj.(sizer)
	if ok1 && ok2 && a.Size() != b.Size() {
		return false
	}
	before, err := c.codec.EncodeStorage(ch.kind.Definition, ch.old.Obj)
	return err == nil && bytes.Equal(before, ch.value)
}

// applied records what a commit wrote and gives the object's new state (of a
// deletion the last one, at the revision of the deletion).
func (c *Core) applied(r *request, ch *change, rev int64) *watch.Object {
	for _, x := range ch.extra {
		c.record(x.op.Key, x.namespace, x.name, x.obj, len(x.op.Value), rev)
	}
	if ch.obj != nil {
		return c.record(ch.key, ch.namespace, ch.name, ch.obj, len(ch.value), rev)
	}
	c.record(ch.key, ch.namespace, ch.name, nil, 0, rev)
	return ch.lastState(rev)
}

// record tells the cache and later writes of this process what a commit wrote;
// size is that of the stored value.
func (c *Core) record(key, namespace, name string, obj runtime.Object, size int, rev int64) *watch.Object {
	if obj == nil {
		c.recent.Put(key, rev, nil, 0)
		return nil
	}
	if m, err := accessor(obj); err == nil {
		m.SetResourceVersion(formatRevision(rev))
	}
	o := c.cache.Prime(key, rev, obj)
	if o == nil {
		o = &watch.Object{Key: key, Namespace: namespace, Name: name, Revision: rev, Obj: obj}
	}
	c.recent.Put(key, rev, o, size)
	return o
}

// lastState is what the client sees of a deleted object.
func (ch *change) lastState(rev int64) *watch.Object {
	last := ch.last
	if last == nil {
		last = ch.old.Obj.DeepCopyObject()
	}
	if rev > 0 {
		if m, err := accessor(last); err == nil {
			m.SetResourceVersion(formatRevision(rev))
		}
	}
	return &watch.Object{Key: ch.key, Namespace: ch.namespace, Name: ch.name, Revision: rev, Obj: last}
}

// result is the answer; o is the state after the write, nil when nothing was
// written (no change, or a dry run).
func (ch *change) result(r *request, o *watch.Object) (*Result, error) {
	switch {
	case o != nil:
	case ch.noop:
		o = ch.old
	case ch.obj != nil:
		o = &watch.Object{Key: ch.key, Namespace: ch.namespace, Name: ch.name, Revision: revisionOf(ch.old), Obj: ch.obj}
	default:
		o = ch.lastState(revisionOf(ch.old))
	}
	res := &Result{Object: o, Revision: o.Revision, Created: ch.old == nil, Deleting: ch.deleting, Warnings: r.warnings}
	if ch.reply != nil {
		answer, err := ch.reply(o)
		if err != nil {
			return nil, status.Plain(err)
		}
		if answer != nil {
			res.Answer, res.Object = answer, nil
		}
	}
	return res, nil
}

// lookup is the newest state of an object that this process knows.
func (c *Core) lookup(k *kinds.Kind, key, namespace, name string) *watch.Object {
	if o, ok := c.recent.Get(key); ok {
		return o
	}
	return c.cache.Get(k.Cached, k.Scope(namespace), name)
}

// refresh reads an object from the store itself.
func (c *Core) refresh(ctx context.Context, k *kinds.Kind, key, namespace, name string) (*watch.Object, error) {
	kv, ok, _, err := c.store.Get(ctx, key)
	if err != nil || !ok {
		return nil, err
	}
	return c.decodeCurrent(k, namespace, name, kv)
}

// decodeCurrent makes the cache's form of a stored value; nil if there is none.
func (c *Core) decodeCurrent(k *kinds.Kind, namespace, name string, kv store.KV) (*watch.Object, error) {
	if kv.ModRevision == 0 {
		return nil, nil
	}
	obj, err := c.codec.Decode(k.Definition, kv.Value, kv.ModRevision)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", kv.Key, err)
	}
	return &watch.Object{Key: kv.Key, Namespace: k.Scope(namespace), Name: name, Revision: kv.ModRevision, Obj: obj}, nil
}

func revisionOf(o *watch.Object) int64 {
	if o == nil {
		return 0
	}
	return o.Revision
}

func deleting(o *watch.Object) bool {
	if o == nil {
		return false
	}
	m, err := accessor(o.Obj)
	return err == nil && m.GetDeletionTimestamp() != nil
}
