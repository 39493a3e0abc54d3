package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/patch"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/registry/view"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Codec turns objects into stored bytes and back, and between versions.
type Codec interface {
	Decode(d *resource.Definition, value []byte, rev int64) (runtime.Object, error)
	// Outdated tells that a value would be written in another form today.
	Outdated(d *resource.Definition, value []byte) bool
	EncodeStorage(d *resource.Definition, obj runtime.Object) ([]byte, error)
	// EncodeCanonical also brings obj to the form in which Decode will read it.
	EncodeCanonical(d *resource.Definition, obj runtime.Object, shared bool) (runtime.Object, []byte, error)
	ConvertContext(ctx context.Context, obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
}

// Action serves an action subresource in place of its definition's hook, for
// those whose subject another package owns (a token is kernel/auth's). obj is
// the object that the subresource belongs to; body is what the client u sent.
type Action func(ctx context.Context, u user.Info, t Target, obj *watch.Object, body runtime.Object, o WriteOptions) (*Result, error)

// Virtual answers the creation of a virtual resource, which is never stored, by u.
type Virtual func(ctx context.Context, u user.Info, t Target, obj runtime.Object, o WriteOptions) (runtime.Object, error)

// Computed makes the objects of a virtual resource that is read, anew for each
// request: those that t names or more, since what a client selects of them is chosen
// afterwards.
type Computed func(ctx context.Context, t Target) ([]runtime.Object, error)

// Config is what a Core is made of.
type Config struct {
	Catalog *resource.Catalog
	Codec   Codec
	Store   store.Store
	// Cache must follow Store; Run is the caller's.
	Cache *watch.Cache
	// Admission is asked about every write; nil is a chain of its own. New
	// adds the namespace rule to it.
	Admission *admission.Chain
	// Actions by group resource and subresource: "serviceaccounts/token",
	// "deployments.apps/rollback".
	Actions map[string]Action
	Virtual map[schema.GroupResource]Virtual
	// Computed are the objects of virtual resources that can be read.
	Computed map[schema.GroupResource]Computed
	Clock    clock.PassiveClock // nil is the real clock
	Log      *slog.Logger       // nil discards
}

// Core serves the verbs to whoever [Core.As] is told asks. It holds no goroutine
// and needs no closing.
type Core struct {
	kinds    *kinds.Kinds
	scheme   *runtime.Scheme // of the kinds without types of their own
	codec    Codec
	cache    *watch.Cache
	chain    *admission.Chain
	actions  map[string]Action
	virtual  map[schema.GroupResource]Virtual
	computed map[schema.GroupResource]Computed
	clock    clock.PassiveClock
	log      *slog.Logger
	objects  *recent.Objects
	views    *view.Views
	tx       *transaction.Committer
	patches  *patch.Patcher
}

// New makes a Core.
func New(cfg Config) (*Core, error) {
	if cfg.Catalog == nil || cfg.Store == nil || cfg.Cache == nil || cfg.Codec == nil {
		return nil, fmt.Errorf("registry: catalog, codec, store and cache are required")
	}
	c := &Core{
		scheme: cfg.Catalog.Snapshot().Scheme, codec: cfg.Codec, cache: cfg.Cache,
		chain: cfg.Admission, actions: cfg.Actions, virtual: cfg.Virtual, computed: cfg.Computed,
		clock: cfg.Clock, log: cfg.Log,
	}
	if c.clock == nil {
		c.clock = clock.RealClock{}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.chain == nil {
		c.chain = &admission.Chain{}
	}
	c.objects = recent.NewObjects(c.cache, cfg.Store, c.codec, c.clock)
	c.views = view.New(c.cache, cfg.Store, c.objects, c.clock)
	c.patches = patch.New(c.scheme)
	fields := fieldmanager.Shared{Scheme: c.scheme, Convert: c.codec, Clock: c.clock, Log: c.log}
	var err error
	if c.kinds, err = kinds.New(cfg.Catalog, c.codec, fields); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	c.tx = transaction.New(transaction.Config{
		Store: cfg.Store, Objects: c.objects, Codec: c.codec, Definitions: c.kinds, Reader: c.Reader(), Clock: c.clock, Log: c.log,
	})
	if c.kinds.Get(namespaces) != nil {
		c.chain.Set(admission.LifecycleName, admission.LifecycleOrder, admission.NewLifecycle(c.namespaceState))
	}
	return c, nil
}

// Trim lets go of what is held past its use: snapshots for pages that nobody
// asks for, states of objects that the cache has caught up with. Requests do
// that on their way, too; Trim is for the time when there are none.
func (c *Core) Trim() {
	c.views.Trim()
	c.objects.Trim()
}

// namespaces are what objects of other resources live in: where a catalog has them,
// a creation asks for its own.
var namespaces = schema.GroupResource{Resource: "namespaces"}

// served tells whether a kind is still there: one that went while a read waited has
// no objects because nobody looks after them any more.
func (c *Core) served(k *kinds.Kind) error {
	if c.kinds.Get(k.GR) == nil {
		return status.UnknownResource(k.GR)
	}
	return nil
}

// kindOf finds the kind of a request, its objects in the cache.
func (c *Core) kindOf(ctx context.Context, t Target) (*kinds.Kind, error) {
	k := c.kinds.Get(t.Resource.GroupResource())
	if k == nil {
		return nil, status.UnknownResource(t.Resource.GroupResource())
	}
	if k.Virtual {
		return k, nil
	}
	switch err := c.cache.Load(ctx, k.Cached); {
	case err == nil:
		return k, nil
	case errors.Is(err, watch.ErrUnknown), errors.Is(err, watch.ErrRemoved):
		return nil, status.UnknownResource(t.Resource.GroupResource()) // it went this moment
	default:
		return nil, status.Store(k.GR, "read", "", err)
	}
}
