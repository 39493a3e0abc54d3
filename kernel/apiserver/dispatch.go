package apiserver

import (
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"

	"github.com/pintle-io/pintle/kernel/registry"
)

// call is one request for a resource, on its way through a verb.
type call struct {
	served
	r      *http.Request
	w      http.ResponseWriter
	gvk    schema.GroupVersionKind // of bodies
	target registry.Target
	// subpath is what follows the subresource of a proxy, with its slash.
	subpath string
}

func (c *call) gv() schema.GroupVersion {
	return schema.GroupVersion{Group: c.def.Group, Version: c.version}
}

// offer is what this path can answer with.
func (s *Server) offer(c *call) offer {
	return objectOffer(!s.Table.JSONStored[schema.GroupKind{Group: c.gvk.Group, Kind: c.gvk.Kind}], c.hasTable())
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	info := requestInfo(r)
	if !info.IsResourceRequest {
		s.servePath(w, r)
		return
	}
	if s.catalog.resources[schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}] == nil {
		http.NotFound(w, r)
		return
	}
	c, err := s.route(w, r, info)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.serve(c, info.Verb); err != nil {
		s.fail(w, r, err)
	}
}

// route checks the shape of a resource path: upstream has routes for some
// combinations of scope, name and method only.
func (s *Server) route(w http.ResponseWriter, r *http.Request, info *request.RequestInfo) (*call, error) {
	res := s.catalog.find(info)
	if res == nil {
		return nil, notFound()
	}
	c := &call{served: *res, r: r, w: w, gvk: res.kind()}
	name := ""
	if len(info.Parts) > 1 {
		name = info.Parts[1]
	}
	namespace := info.Namespace
	if !c.def.Namespaced {
		if namespace != "" && !isNamespaces(c.gv(), info) {
			return nil, notFound()
		}
		namespace = ""
	}
	if len(info.Parts) > 3 {
		if !isConnect(c.sub) {
			return nil, notFound()
		}
		c.subpath = "/" + strings.Join(info.Parts[3:], "/")
		if strings.HasSuffix(r.URL.Path, "/") {
			c.subpath += "/"
		}
	}
	if c.def.Namespaced && namespace == "" && name != "" {
		return nil, notFound()
	}
	c.target = registry.Target{
		Resource:  c.gv().WithResource(c.def.Resource),
		Namespace: namespace, Name: name, Subresource: info.Subresource,
	}
	switch {
	case isConnect(c.sub):
		return c, nil
	case !c.allows(info.Verb):
		return nil, c.refusal(info.Verb)
	case info.Verb == "create" && c.sub == nil && (name != "" || (c.def.Namespaced && namespace == "" && !c.def.Virtual)):
		return nil, methodNotAllowed()
	case info.Verb == "deletecollection" && c.def.Namespaced && namespace == "":
		return nil, methodNotAllowed()
	case (info.Verb == "update" || info.Verb == "patch") && name == "":
		return nil, methodNotAllowed()
	case info.Verb == "watch" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return nil, methodNotAllowed()
	}
	return c, nil
}

// isNamespaces is true for /api/v1/namespaces/NAME, where the name is also
// taken for a namespace.
func isNamespaces(gv schema.GroupVersion, info *request.RequestInfo) bool {
	return gv.Group == "" && info.Resource == "namespaces" && len(info.Parts) > 1
}

func (s *Server) serve(c *call, verb string) error {
	if text := s.old[c.gvk]; text != "" {
		warning.AddWarning(c.r.Context(), "", text)
	}
	if isConnect(c.sub) {
		return s.connect(c)
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
	return methodNotAllowed()
}
