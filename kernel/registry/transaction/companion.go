package transaction

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
)

// companion is an object of another kind, ready to be written with its principal.
type companion struct {
	id  recent.ID
	obj runtime.Object // nil: deleted, or not written
	op  store.Op       // a check, when the object is to stay as it is
	// superseded: another item of an atomic batch writes it, on top of this.
	superseded bool
}

// Hook says which objects of other kinds are written together with obj. It may
// change obj. before is the state that obj follows, or what an action was sent.
type Hook func(ctx context.Context, r resource.Reader, obj, before runtime.Object) ([]resource.Companion, error)

// Join adds to a change of w's the companions that a kind's hook wants; no hook, none.
// Companions pass no admission: they are the kind's own book-keeping. A hook may
// change the object, so it comes before [Committer.Encode].
//
// # Errors
//   - Status: the hook's own, or an internal error
func (c *Committer) Join(ctx context.Context, w *Write, ch *Change, hook Hook, obj, before runtime.Object) error {
	if hook == nil {
		return nil
	}
	from := c.Reader
	if w.beside != nil {
		from = w.beside
	}
	list, err := hook(ctx, from, obj, before)
	if err != nil {
		if status.Is(err) {
			return err
		}
		return apierrors.NewInternalError(err)
	}
	for i := range list {
		x, err := c.companion(&list[i])
		if err != nil {
			return err
		}
		ch.companions = append(ch.companions, x)
	}
	return nil
}

// companion makes a kind's wish into a store operation.
func (c *Committer) companion(x *resource.Companion) (companion, error) {
	d := c.Definitions.Definition(x.Resource)
	if d == nil {
		return companion{}, internal("companion of unknown resource %s", x.Resource)
	}
	out := companion{id: recent.IDOf(d, x.Namespace, x.Name)}
	if x.Object == nil || x.Keep {
		out.op = store.Op{Key: out.id.Key, Expect: store.Absent, Check: x.Keep || x.Old == nil}
		if x.Old == nil {
			return out, nil
		}
		m, err := meta.Accessor(x.Old)
		if err == nil {
			out.op.Expect, err = expected(out.id, m.GetResourceVersion())
		}
		return out, err
	}
	out.obj = x.Object.DeepCopyObject()
	out.obj.GetObjectKind().SetGroupVersionKind(d.Hub())
	m, err := meta.Accessor(out.obj)
	if err != nil {
		return companion{}, internal("companion %s: %w", out.id.Key, err)
	}
	m.SetName(x.Name)
	m.SetNamespace(out.id.Namespace)
	rv := m.GetResourceVersion()
	if !x.Update {
		m.SetResourceVersion("")
		m.SetUID(uuid.NewUUID())
		m.SetCreationTimestamp(resource.Timestamp(c.Clock.Now()))
	}
	var value []byte
	out.obj, value, err = c.Codec.EncodeCanonical(d, out.obj, false)
	if err != nil {
		return companion{}, internal("encoding %s %q: %w", d.GroupResource(), x.Name, err)
	}
	out.op = store.Op{Key: out.id.Key, Value: value, Expect: store.Absent}
	if x.Update {
		out.op.Expect, err = expected(out.id, rv)
	}
	return out, err
}

// expected is the revision of the state that a hook has seen.
func expected(id recent.ID, resourceVersion string) (int64, error) {
	rev, err := recent.ParseRevision(resourceVersion)
	if err != nil || rev == 0 {
		return 0, internal("companion %s: invalid resource version %q", id.Key, resourceVersion)
	}
	return rev, nil
}
