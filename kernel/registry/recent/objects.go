package recent

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// ID is an object's place in the store and in the cache.
type ID struct {
	Definition *resource.Definition
	Key        string
	Namespace  string // "" for kinds without
	Name       string
}

// IDOf is the place of an object of a kind. The namespace of a kind without
// namespaces does not matter.
func IDOf(d *resource.Definition, namespace, name string) ID {
	if !d.Namespaced {
		namespace = ""
	}
	return ID{Definition: d, Key: resource.Key(d, namespace, name), Namespace: namespace, Name: name}
}

// Cache is what Objects need of the watch cache.
type Cache interface {
	progress
	Get(gr schema.GroupResource, namespace, name string) *watch.Object
	// Prime gives the cache an object before its event comes, and answers how it
	// will hold it; nil if it will not.
	Prime(key string, revision int64, obj runtime.Object) *watch.Object
	WaitFor(ctx context.Context, revision int64) error
}

// Store is what Objects read of the store.
type Store interface {
	Get(ctx context.Context, key string) (kv store.KV, ok bool, revision int64, err error)
	Revision(ctx context.Context) (int64, error)
}

// Decoder reads stored values.
type Decoder interface {
	Decode(d *resource.Definition, value []byte, revision int64) (runtime.Object, error)
	// Outdated tells that a value would be written in another form today.
	Outdated(d *resource.Definition, value []byte) bool
}

// Objects are the newest states of objects that this process knows: what it
// committed itself, else what the cache has; and the store's, when it is asked.
// It is safe for concurrent use.
type Objects struct {
	states    *states
	revisions *revisions
	cache     Cache
	store     Store
	codec     Decoder
	written   sync.Map // prefix of a kind's keys → *atomic.Int64, the revision of this process's last commit
}

// NewObjects makes Objects. cache must follow the store.
func NewObjects(cache Cache, from Store, codec Decoder, c clock.PassiveClock) *Objects {
	return &Objects{states: newStates(cache, c), revisions: newRevisions(from.Revision, storeTimeout), cache: cache, store: from, codec: codec}
}

// storeTimeout bounds a store read that several requests share.
const storeTimeout = 10 * time.Second

// Lookup is the newest state that this process knows; nil if it knows of no
// object, or that it was deleted. It asks nobody.
func (s *Objects) Lookup(id ID) *watch.Object {
	if o, ok := s.states.Get(id.Key); ok {
		return o
	}
	return s.cache.Get(id.Definition.Stored(), id.Namespace, id.Name)
}

// Refresh is the store's state; nil if there is none.
func (s *Objects) Refresh(ctx context.Context, id ID) (*watch.Object, error) {
	cur, _, err := s.Reread(ctx, id)
	return cur, err
}

// Reread is Refresh, and tells whether the store keeps the state in a form that is to
// be rewritten ([Objects.Stale]).
func (s *Objects) Reread(ctx context.Context, id ID) (_ *watch.Object, stale bool, err error) {
	kv, ok, _, err := s.store.Get(ctx, id.Key)
	if err != nil || !ok {
		return nil, false, err
	}
	cur, err := s.Decode(id, kv)
	return cur, s.Stale(id, kv), err
}

// Stale tells whether a stored value is to be rewritten, even if nothing else changes: it
// is encrypted in another way than it would be now, or of an older storage version.
func (s *Objects) Stale(id ID, kv store.KV) bool {
	return kv.Stale || kv.Err == nil && s.codec.Outdated(id.Definition, kv.Value)
}

// Decode makes the cache's form of a stored value; nil if there is none.
func (s *Objects) Decode(id ID, kv store.KV) (*watch.Object, error) {
	if kv.ModRevision == 0 {
		return nil, nil
	}
	if kv.Err != nil {
		return nil, kv.Err
	}
	obj, err := s.codec.Decode(id.Definition, kv.Value, kv.ModRevision)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", kv.Key, err)
	}
	return &watch.Object{Key: kv.Key, Namespace: id.Namespace, Name: id.Name, Revision: kv.ModRevision, Obj: obj}, nil
}

// Observe remembers the state of an object that a conflict showed, and returns it.
func (s *Objects) Observe(id ID, kv store.KV) (*watch.Object, error) {
	cur, err := s.Decode(id, kv)
	if err == nil && cur != nil {
		s.states.Put(id.Key, kv.ModRevision, cur, len(kv.Value))
		s.note(id.Definition, kv.ModRevision)
	}
	return cur, err
}

// Record takes up what a commit at a revision wrote: obj, whose stored value has
// size bytes and which gets its resourceVersion, or nil for a deletion. It gives
// the state as the cache will have it, nil for a deletion.
func (s *Objects) Record(id ID, obj runtime.Object, size int, revision int64) *watch.Object {
	defer s.note(id.Definition, revision) // when the state can be found
	if obj == nil {
		s.states.Put(id.Key, revision, nil, 0)
		return nil
	}
	if m, err := meta.Accessor(obj); err == nil {
		m.SetResourceVersion(FormatRevision(revision))
	}
	o := s.cache.Prime(id.Key, revision, obj)
	if o == nil {
		o = &watch.Object{Key: id.Key, Namespace: id.Namespace, Name: id.Name, Revision: revision, Obj: obj}
	}
	s.states.Put(id.Key, revision, o, size)
	return o
}

// note remembers when a kind was written last.
func (s *Objects) note(d *resource.Definition, revision int64) {
	v, ok := s.written.Load(d.KeyPrefix)
	if !ok {
		v, _ = s.written.LoadOrStore(d.KeyPrefix, new(atomic.Int64))
	}
	for last := v.(*atomic.Int64); ; {
		if was := last.Load(); was >= revision || last.CompareAndSwap(was, revision) {
			return
		}
	}
}

// Seen reports that the cache has every commit of this process to a kind, so that
// there is nothing to look for in Under. It costs next to nothing.
func (s *Objects) Seen(d *resource.Definition) bool {
	v, ok := s.written.Load(d.KeyPrefix)
	return !ok || v.(*atomic.Int64).Load() <= s.cache.Revision()
}

// Under calls fn with every state below a key prefix that the cache has not seen;
// see [states.Under].
func (s *Objects) Under(prefix string, fn func(key string, obj *watch.Object)) {
	s.states.Under(prefix, fn)
}

// CatchUp returns when the cache has every write that finished before the call.
func (s *Objects) CatchUp(ctx context.Context) error {
	now, err := s.revisions.Get(ctx)
	if err != nil {
		return err
	}
	return s.cache.WaitFor(ctx, now)
}

// Trim forgets what the cache has seen.
func (s *Objects) Trim() { s.states.Trim() }

// RevisionOf is the revision of a state, 0 of none.
func RevisionOf(o *watch.Object) int64 {
	if o == nil {
		return 0
	}
	return o.Revision
}

// Deleting reports that an object is marked for deletion.
func Deleting(o *watch.Object) bool {
	if o == nil {
		return false
	}
	m, err := meta.Accessor(o.Obj)
	return err == nil && m.GetDeletionTimestamp() != nil
}

// ParseRevision reads a resourceVersion; "" is 0. As upstream's it may have 64
// bits: what no store will ever reach is the largest revision that there is.
func ParseRevision(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, err
	}
	return int64(min(v, math.MaxInt64)), nil
}

// AskedRevision is ParseRevision for the resourceVersion that a read names in its
// options, with the error in upstream's words.
func AskedRevision(s string) (int64, error) {
	v, err := ParseRevision(s)
	if err != nil {
		return 0, field.Invalid(field.NewPath("resourceVersion"), s, err.Error())
	}
	return v, nil
}

// FormatRevision is the resourceVersion of a revision.
func FormatRevision(revision int64) string { return strconv.FormatInt(revision, 10) }
