// Package hostclient serves what a plugin asks of the API during a call: it
// decodes the requests of sdk/wire, checks the plugin's permissions, asks the
// registry under the plugin's own identity, and answers with the fields that the
// plugin declares, from the objects that the watch cache shares.
//
// Reads come from the cache, at least as new as the plugin's own last write.
package hostclient

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/plugin/listing"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Codec is what a client needs of resource.Codec.
type Codec interface {
	Versioned(obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
	DecodeRequest(body []byte, mediaType string, defaultGVK *schema.GroupVersionKind, strict bool) (obj runtime.Object, gvk *schema.GroupVersionKind, strictErrs []error, err error)
}

// Owned answers which objects name an owner.
type Owned interface {
	// List returns the dependents of an owner of a certain kind, the objects that
	// no owner controls, or those that have a value at a path, in order of their
	// keys. namespace "" is all. Writes of the resource up to revision since are seen.
	//
	// # Errors
	//   - *wire.Error: no path, or there are too many indexes
	List(ctx context.Context, gr schema.GroupResource, namespace string, owner wire.Owner, since int64) ([]*watch.Object, error)
}

// Config is shared by the clients of all instances of one plugin: whom they act
// for, and what that one may do.
type Config struct {
	Plugin   string            // its name, the field manager of its writes
	Source   string            // of its events; "": Plugin
	Registry registry.Registry // the plugin's: under its identity
	Catalog  *resource.Catalog
	Codec    Codec
	Owned    Owned
	Events   *Events
	// Allow checks one request; nil allows everything. Its error is the answer.
	// Ask it by [Config.May].
	Allow func(verb string, t registry.Target) error
	// Refused is told of what was asked and not allowed, since a guest need not
	// pass it on; may be nil.
	Refused func(what string, err error)
	// Served asks the API for what it serves and does not keep, as a client of it
	// does, under the plugin's identity; allow is asked about the request as the API
	// understands it. Nil: nothing is.
	Served func(w http.ResponseWriter, r *http.Request, allow func(authorizer.Attributes) error)
	// CatchUp returns when the catalog has the kinds that were defined before the call, for
	// fresh lists of custom kinds; nil: kinds do not change.
	CatchUp func(ctx context.Context) error
	// Budget bounds what is written; nil does not.
	Budget *Budget
	// Observed is shared by the plugin's instances, so that each reads the others'
	// writes, and by whoever wakes them.
	Observed *Observed
	// Latest, when set, serves get and list in place of Registry, and nothing else is
	// served: an admission rule that wrote, or waited for others, would do so
	// in the middle of somebody's request.
	Latest Latest
	// MaxRead bounds the objects of one list beside Latest; 0 is 10,000.
	MaxRead int
}

// Latest is what this process knows, without waiting for anybody; a
// [registry.Core] does.
type Latest interface {
	Latest(ctx context.Context, t registry.Target) (*watch.Object, error)
	// LatestAll are those of a namespace, of all with "", in order of their keys.
	LatestAll(ctx context.Context, t registry.Target) ([]*watch.Object, error)
}

// Client serves one instance. It is used by one goroutine at a time.
type Client struct {
	c       *Config
	session listing.Session
	only    projections
	buf     []byte
}

// New makes the client of a new instance.
func New(c *Config) *Client { return &Client{c: c} }

const jsonType = runtime.ContentTypeJSON

// Call serves one request of the guest; resp is valid until the next Call.
// Errors are *wire.Error.
func (k *Client) Call(ctx context.Context, op wire.HostOp, req []byte) (resp []byte, err error) {
	k.buf = k.buf[:0]
	r := wire.NewReader(req)
	if k.c.Latest != nil && op != wire.HostGet && op != wire.HostList {
		return nil, wire.Errorf(wire.KindForbidden, "what is asked in the middle of a request, or of a decision of the scheduler, may only get and list objects (host operation %d)", op)
	}
	switch op {
	case wire.HostGet:
		err = k.get(ctx, r)
	case wire.HostList:
		err = k.list(ctx, r)
	case wire.HostWrite:
		err = k.write(ctx, r)
	case wire.HostPatch:
		err = k.patch(ctx, r)
	case wire.HostDelete:
		err = k.delete(ctx, r)
	case wire.HostBatch:
		err = k.batch(ctx, r)
	case wire.HostEvent:
		err = k.event(r)
	case wire.HostSubresource:
		err = k.subresource(ctx, r)
	case wire.HostFetch:
		err = k.fetch(ctx, r)
	case wire.HostResource:
		err = k.resource(r)
	default:
		err = wire.Errorf(wire.KindUnsupported, "host operation %d is not known here", op)
	}
	if err != nil {
		e := wireError(err)
		k.c.refused(op, e)
		return nil, e
	}
	return k.buf, nil
}

// refused notes what a plugin was not allowed, and why an event was not taken,
// which no guest is told.
func (c *Config) refused(op wire.HostOp, e *wire.Error) {
	if c.Refused != nil && (e.Kind == wire.KindForbidden || e.Kind == wire.KindTooMany || op == wire.HostEvent) {
		c.Refused(callNames[op], e)
	}
}

// callNames are what an operator reads for what a guest asked.
var callNames = map[wire.HostOp]string{wire.HostGet: "get", wire.HostList: "list", wire.HostWrite: "write", wire.HostPatch: "patch",
	wire.HostDelete: "delete", wire.HostBatch: "batch", wire.HostEvent: "record event", wire.HostSubresource: "get subresource",
	wire.HostFetch: "fetch", wire.HostResource: "resolve kind"}

// ParseResource parses "group/version/plural" or "v1/plural". In the first form the
// version may be missing.
func ParseResource(res string) (gvr schema.GroupVersionResource, ok bool) {
	switch p := strings.Split(res, "/"); len(p) {
	case 2:
		return schema.GroupVersionResource{Version: p[0], Resource: p[1]}, true
	case 3:
		return schema.GroupVersionResource{Group: p[0], Version: p[1], Resource: p[2]}, true
	}
	return gvr, false
}

// target makes the target of a request.
func (c *Config) target(res, namespace, name, sub string) (registry.Target, *resource.Definition, error) {
	t, d, err := c.resolve(res)
	if err != nil {
		return t, nil, err
	}
	t.Namespace, t.Name, t.Subresource = namespace, name, sub
	return t, d, placed(&t, res, d)
}

// resolve finds the resource that a guest names, by its plural or by a kind.
func (c *Config) resolve(res string) (t registry.Target, d *resource.Definition, err error) {
	if gvr, d, ok := byKind(c.Catalog, res); ok {
		if d == nil {
			return t, nil, wire.Errorf(wire.KindUnsupported, "there is no kind %q", res)
		}
		t.Resource = gvr
		return t, d, nil
	}
	gvr, ok := ParseResource(res)
	if !ok {
		return t, nil, wire.Errorf(wire.KindBadRequest, "resource %q: want group/version/plural, or v1/plural of the core group", res)
	}
	if d = c.Catalog.Lookup(gvr.GroupResource()); d == nil {
		return t, nil, wire.Errorf(wire.KindNotFound, "there is no resource %q", res)
	}
	if gvr.Version == "" { // any: see client.InAnyVersion
		gvr.Version = d.Versions[0]
	}
	t.Resource = gvr
	return t, d, nil
}

// placed completes a target that is named by a kind, as references do: whether it has a
// namespace is for the kind to say, and any version that has the subresource will do.
func placed(t *registry.Target, res string, d *resource.Definition) error {
	if !strings.Contains(res, wire.KindMark) {
		return nil
	}
	if s := d.Subresource(t.Subresource); s != nil && !s.In(t.Resource.Version) {
		if i := slices.IndexFunc(d.Versions, s.In); i >= 0 {
			t.Resource.Version = d.Versions[i]
		}
	}
	switch {
	case !d.Namespaced:
		t.Namespace = ""
	case t.Namespace == "" && t.Name != "":
		return wire.Errorf(wire.KindUnsupported, "%q is namespaced: a namespace is required", res)
	}
	return nil
}

// May is the check that every way from a plugin to objects passes, be it a
// request, a watch, or an object that something waits for in its name. Its error
// is the answer.
func (c *Config) May(verb string, t registry.Target) error {
	if c.Allow == nil {
		return nil
	}
	return c.Allow(verb, t)
}

// MayWatch is May for following all objects of a resource: that takes the right
// to list them too, as for any informer.
func (c *Config) MayWatch(t registry.Target) error {
	if err := c.May("list", t); err != nil {
		return err
	}
	return c.May("watch", t)
}

// since is the resourceVersion of a read: not older than what the plugin knows of.
func (c *Config) since() string { return strconv.FormatInt(c.Observed.any(), 10) }

func (c *Config) wrote(t registry.Target, res *registry.Result) {
	if res != nil {
		c.Observed.Observe(t.Resource.GroupResource(), res.Revision)
	}
}

func (k *Client) get(ctx context.Context, r *wire.Reader) error {
	q := r.GetRequest()
	if err := r.Err(); err != nil {
		return err
	}
	t, _, err := k.c.target(q.Resource, q.Namespace, q.Name, "")
	if err != nil {
		return err
	}
	if err := k.c.May("get", t); err != nil {
		return err
	}
	o, err := k.read(ctx, t)
	if err != nil {
		return err
	}
	project, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	b, err := k.projected(o, t, project)
	k.buf = append(k.buf, b...)
	return err
}

func (k *Client) read(ctx context.Context, t registry.Target) (*watch.Object, error) {
	if k.c.Latest != nil {
		return k.c.Latest.Latest(ctx, t)
	}
	return k.c.Registry.Get(ctx, t, metav1.GetOptions{ResourceVersion: k.c.since()})
}

func (k *Client) answer(o *watch.Object, t registry.Target, only *record.Plan) error {
	if o == nil {
		return nil
	}
	b, err := k.projected(o, t, only)
	k.buf = append(k.buf, b...)
	return err
}

// catchUp has a fresh list of a custom kind find that as it is defined now.
func (k *Client) catchUp(ctx context.Context, q wire.ListRequest) error {
	gvr, ok := ParseResource(q.Resource)
	if !q.Fresh || k.c.CatchUp == nil || !ok || k.c.Catalog.Fixed(gvr.GroupResource()) {
		return nil
	}
	return k.c.CatchUp(ctx)
}

func (k *Client) list(ctx context.Context, r *wire.Reader) error {
	q := r.ListRequest()
	if err := r.Err(); err != nil {
		return err
	}
	if k.c.Latest != nil && (q.Resource == wire.AllResources || q.Fields != "" || q.Fresh || q.Owner.Kind != wire.AnyOwner) {
		return wire.Errorf(wire.KindForbidden, "an admission rule or a scheduling point may only list the objects of one resource, by namespace and labels")
	}
	if q.Resource == wire.AllResources {
		return k.listAll(ctx, q)
	}
	if err := k.catchUp(ctx, q); err != nil {
		return err
	}
	t, _, err := k.c.target(q.Resource, q.Namespace, "", "")
	if err != nil {
		return err
	}
	if err := k.c.May("list", t); err != nil {
		return err
	}
	project, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	items, err := k.items(ctx, t, q)
	if err != nil {
		return err
	}
	if most := cmp.Or(k.c.MaxRead, maxRead); k.c.Latest != nil && len(items) > most {
		if q.Limit == 0 {
			return wire.Errorf(wire.KindTooMany, "there are %d %s, and an admission rule may read %d at once: set a Limit", len(items), t.Resource.Resource, most)
		}
		q.Limit = min(q.Limit, uint64(most))
	}
	k.buf, err = k.session.Answer(k.buf, q, items, func(o *watch.Object) ([]byte, error) { return k.projected(o, t, project) })
	return err
}

// maxRead bounds what an admission rule, for which a request waits, is given at once:
// each object is encoded for it and decoded by it.
const maxRead = 10_000

func (k *Client) items(ctx context.Context, t registry.Target, q wire.ListRequest) ([]*watch.Object, error) {
	if k.c.Latest != nil {
		items, err := k.c.Latest.LatestAll(ctx, t)
		if err != nil {
			return nil, err
		}
		return labelled(items, q.Labels)
	}
	if q.Owner.Kind == wire.AnyOwner {
		o := metav1.ListOptions{LabelSelector: q.Labels, FieldSelector: q.Fields, ResourceVersion: k.c.since()}
		if q.Fresh {
			o.ResourceVersion = ""
		}
		l, err := k.c.Registry.List(ctx, t, o)
		if err != nil {
			return nil, err
		}
		k.c.Observed.saw(l.Revision)
		if q.Fresh {
			k.c.Observed.Observe(t.Resource.GroupResource(), l.Revision)
		}
		return l.Items, nil
	}
	if q.Fields != "" || q.Fresh {
		return nil, wire.Errorf(wire.KindBadRequest, "a list by owner or by an index takes no field selector, and cannot be fresh")
	}
	if k.c.Owned == nil {
		return nil, wire.Errorf(wire.KindUnsupported, "a list by owner or by an index is for controllers")
	}
	gr := t.Resource.GroupResource()
	items, err := k.c.Owned.List(ctx, gr, q.Namespace, q.Owner, k.c.Observed.Of(gr))
	if err != nil {
		return nil, err
	}
	newest := int64(0)
	for _, o := range items {
		newest = max(newest, o.Revision)
	}
	k.c.Observed.saw(newest) // who adopts what was let go must not read its own object from before
	return labelled(items, q.Labels)
}

// labelled leaves of a list, which is the caller's, what a label selector selects.
func labelled(items []*watch.Object, selector string) ([]*watch.Object, error) {
	if selector == "" {
		return items, nil
	}
	sel, err := labels.Parse(selector)
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "label selector: %v", err)
	}
	return slices.DeleteFunc(items, func(o *watch.Object) bool {
		m, err := meta.Accessor(o.Obj)
		return err != nil || !sel.Matches(labels.Set(m.GetLabels()))
	}), nil
}

// wireError brings an error of the registry into the form that crosses to a
// guest.
func wireError(err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	kind := wire.KindInternal
	for _, x := range []struct {
		is   func(error) bool
		kind wire.Kind
	}{
		{apierrors.IsNotFound, wire.KindNotFound}, {apierrors.IsAlreadyExists, wire.KindAlreadyExists},
		{apierrors.IsConflict, wire.KindConflict}, {apierrors.IsInvalid, wire.KindInvalid},
		{isTerminating, wire.KindTerminating}, {apierrors.IsForbidden, wire.KindForbidden}, {apierrors.IsBadRequest, wire.KindBadRequest},
		{apierrors.IsGone, wire.KindGone}, {apierrors.IsResourceExpired, wire.KindGone},
		{apierrors.IsTooManyRequests, wire.KindTooMany}, {apierrors.IsTimeout, wire.KindTimeout},
		{apierrors.IsMethodNotSupported, wire.KindUnsupported}, {apierrors.IsServerTimeout, wire.KindTimeout}, {apierrors.IsServiceUnavailable, wire.KindUnavailable},
		{isContext, wire.KindTimeout},
	} {
		if x.is(err) {
			kind = x.kind
			break
		}
	}
	return &wire.Error{Kind: kind, Message: err.Error()}
}

func isTerminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

func isContext(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
