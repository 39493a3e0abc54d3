package endpoint

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Catalog finds what a request is about, in the newest table of kinds.
type Catalog struct {
	source   *resource.Catalog
	mu       sync.Mutex               // of whoever makes the next snapshot
	snapshot atomic.Pointer[Snapshot] // the last that was asked for
}

// NewCatalog follows the kinds of a catalog.
func NewCatalog(source *resource.Catalog) *Catalog {
	c := &Catalog{source: source}
	c.snapshot.Store(&Snapshot{})
	return c
}

// Find looks up what a request is about; nil when nothing is served there.
func (c *Catalog) Find(info *request.RequestInfo) *Endpoint {
	if !info.IsResourceRequest {
		return nil
	}
	d := c.source.Lookup(schema.GroupResource{Group: info.APIGroup, Resource: info.Resource})
	if d == nil || !slices.Contains(d.Versions, info.APIVersion) {
		return nil
	}
	res := &Endpoint{Def: d, Version: info.APIVersion}
	if info.Subresource != "" {
		if res.Sub = d.Subresource(info.Subresource); res.Sub == nil || !res.Sub.In(info.APIVersion) {
			return nil
		}
	}
	return res
}

// Endpoint is a resource or subresource in a version.
type Endpoint struct {
	Def     *resource.Definition
	Sub     *resource.Subresource // nil for the resource itself
	Version string
}

// Kind is the kind of bodies of this path in the request's version.
func (e *Endpoint) Kind() schema.GroupVersionKind {
	if e.Sub != nil && !e.Sub.Kind.Empty() {
		return e.Sub.Kind
	}
	return schema.GroupVersionKind{Group: e.Def.Group, Version: e.Version, Kind: e.Def.Kind}
}

// HasTable tells whether objects of this path may be shown as rows: those that
// are read, their status and their scale, as upstream's. A review, which has
// no name, and an answer to an action have no table.
func (e *Endpoint) HasTable() bool {
	if e.Sub == nil {
		return !e.Def.Virtual || slices.Contains(e.Def.Verbs, "list")
	}
	return e.Sub.Style == resource.StyleStatus || e.Sub.Style == resource.StyleProjection
}

// Verbs that the path takes.
func (e *Endpoint) Verbs() []string {
	if e.Sub != nil {
		return e.Sub.Verbs
	}
	return e.Def.Verbs
}

// Allows tells whether the path takes a verb.
func (e *Endpoint) Allows(verb string) bool { return slices.Contains(e.Verbs(), verb) }

// Refusal answers a verb that is not allowed: as upstream does for a method
// without a route, or as it does for a verb that a resource cannot do where
// there is a reason to give.
func (e *Endpoint) Refusal(verb string) error {
	if e.Def.Unserved == "" {
		return response.MethodNotAllowed()
	}
	err := apierrors.NewMethodNotSupported(e.Def.GroupResource(), verb)
	err.ErrStatus.Message += ": " + e.Def.Unserved
	return err
}

// IsConnect tells whether requests are sent on to where the object lives.
func (e *Endpoint) IsConnect() bool {
	return e.Sub != nil && e.Sub.Style == resource.StyleConnect
}

// LongRunning tells whether a request streams: it has no timeout and takes no
// slot.
func (c *Catalog) LongRunning(info *request.RequestInfo) bool {
	if info.Verb == "watch" || info.Verb == "proxy" {
		return true
	}
	if !info.IsResourceRequest {
		return IsProfiling(info.Path) // as upstream: a profile takes the time that it is asked for
	}
	if info.Subresource == "" {
		return false
	}
	e := c.Find(info)
	if e == nil {
		return othersStreams[info.Subresource]
	}
	return e.IsConnect()
}

// othersStreams are the subresources that upstream takes for streams whatever they
// belong to: those of kinds that other servers have.
var othersStreams = map[string]bool{"attach": true, "exec": true, "proxy": true, "log": true, "portforward": true}

// IsProfiling tells that a path is of the process's profiles.
func IsProfiling(path string) bool {
	return path == "/debug/pprof" || strings.HasPrefix(path, "/debug/pprof/")
}

// SubresourceKind is the kind of bodies of a subresource in a version of its
// resource.
func SubresourceKind(d *resource.Definition, sub *resource.Subresource, gv schema.GroupVersion) schema.GroupVersionKind {
	if sub.Kind.Empty() {
		return gv.WithKind(d.Kind)
	}
	return sub.Kind
}
