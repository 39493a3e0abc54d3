// Package handlers serves the verbs of resources: it reads options and bodies,
// calls the registry and answers. What a verb means is the registry's.
package handlers

import (
	"cmp"
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/warning"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/proxy"
	"github.com/pintle-io/pintle/kernel/apiserver/render"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/apiserver/stream"
	"github.com/pintle-io/pintle/kernel/registry"
)

// Codec is what the verbs need of resource.Codec.
type Codec interface {
	// Convert brings an object into a version.
	ConvertContext(ctx context.Context, obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
	// DecodeRequest reads a request body. defaultGVK stands in for a body that
	// names no kind. strict are the complaints of strict decoding, empty unless
	// it was asked for.
	DecodeRequest(body []byte, mediaType string, defaultGVK *schema.GroupVersionKind, strict bool) (obj runtime.Object, gvk *schema.GroupVersionKind, strictErrs []error, err error)
	// Foreign says why an object that a body brought is none of the kind wanted.
	Foreign(obj runtime.Object, got, want schema.GroupVersionKind) error
}

// Handlers serve the verbs. They are immutable and safe for concurrent use.
type Handlers struct {
	Registry registry.Access
	Codec    Codec
	Render   *render.Renderer
	Stream   *stream.Watches
	Proxy    *proxy.Proxy
	// Authorize asks for a right beyond that which the request itself needs.
	Authorize func(context.Context, authorizer.Attributes) error
	// Deprecated kinds, about which every request is warned.
	Deprecated endpoint.Deprecated
}

// Serve serves a request that is authorized. An error that it returns has not
// been answered yet.
func (s *Handlers) Serve(c *endpoint.Request, verb string) error {
	s.deprecated(c)
	if err := c.Refused(); err != nil {
		return err
	}
	if c.IsConnect() {
		return s.Proxy.Connect(c)
	}
	switch verb {
	case "get":
		return s.get(c)
	case "list", "watch":
		return s.listOrWatch(c, verb)
	case "create":
		return s.create(c)
	case "update":
		return s.update(c)
	case "patch":
		return s.patch(c)
	case "delete":
		return s.delete(c)
	case "deletecollection":
		return s.deleteCollection(c)
	}
	return response.MethodNotAllowed()
}

// deprecated tells the client, and the audit log, that a kind is deprecated. Whom
// upstream's router turns away, since he takes none of the media types, it tells
// nothing.
func (s *Handlers) deprecated(c *endpoint.Request) {
	d := s.Deprecated[c.GVK]
	text := cmp.Or(d.Warning, c.Def.Deprecations[c.Version])
	if text == "" {
		return
	}
	if routed := s.Render.Offer(c).Routed; routed != nil && negotiation.RouteAccept(c.R, routed) != nil {
		return
	}
	ctx := c.R.Context()
	warning.AddWarning(ctx, "", text)
	audit.AddAuditAnnotation(ctx, "k8s.io/deprecated", "true")
	if d.Removed != "" {
		audit.AddAuditAnnotation(ctx, "k8s.io/removed-release", d.Removed)
	}
}
