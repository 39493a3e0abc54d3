// Package endpoint knows what is served where: the catalog of kinds by path, and
// what a request for a resource is about. It owns routing and the attributes by
// which a request is authorized; it must not answer a request.
//
// A [Catalog] follows the kinds as they change; it is safe for concurrent use.
package endpoint

import (
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Request is one request for a resource, on its way through a verb. It belongs
// to the goroutine that serves it.
type Request struct {
	Endpoint
	R      *http.Request
	W      http.ResponseWriter
	GVK    schema.GroupVersionKind // of bodies
	Target registry.Target
	// Subpath is what follows the subresource of a proxy, with its slash.
	Subpath string
	refused error
}

// GV is the group version that was asked for.
func (q *Request) GV() schema.GroupVersion {
	return schema.GroupVersion{Group: q.Def.Group, Version: q.Version}
}

// Route finds what a resource request is about and checks the form of its path:
// upstream has routes for some combinations of scope, name and method only.
//
// # Errors
//   - ErrNoPath
//   - 404, 405: of a group that is built in
func (c *Catalog) Route(w http.ResponseWriter, r *http.Request, info *request.RequestInfo) (*Request, error) {
	if !strings.HasPrefix(r.URL.Path, "/"+info.APIPrefix+"/") {
		return nil, ErrNoPath // "//api/v1" is no path of the API
	}
	e := c.Find(info)
	if e == nil {
		if e = c.parent(info); e == nil || !IsCustom(e.Def) {
			return nil, c.noPath(info)
		}
	}
	q := &Request{Endpoint: *e, R: r, W: w, GVK: e.Kind()}
	name := ""
	if len(info.Parts) > 1 {
		name = info.Parts[1]
	}
	namespace := info.Namespace
	if !q.Def.Namespaced {
		if namespace != "" && !isNamespaces(q.GV(), info) {
			return nil, c.noPath(info)
		}
		namespace = ""
	}
	q.Target = registry.Target{
		Resource:  q.GV().WithResource(q.Def.Resource),
		Namespace: namespace, Name: name, Subresource: info.Subresource,
	}
	if IsCustom(q.Def) {
		return q, q.custom(info)
	}
	if q.Def.Namespaced && namespace == "" && name != "" {
		return nil, response.NotFound()
	}
	if len(info.Parts) > 3 {
		q.Subpath = "/" + strings.Join(info.Parts[3:], "/")
		if strings.HasSuffix(r.URL.Path, "/") {
			q.Subpath += "/"
		}
	}
	if err := q.routed(info); err != nil {
		return nil, err
	}
	return q, nil
}

// parent is the resource that a request for one of its subresources names; nil: it
// is not served.
func (c *Catalog) parent(info *request.RequestInfo) *Endpoint {
	whole := *info
	whole.Subresource = ""
	return c.Find(&whole)
}

// noPath is the answer to a path of a resource that is not there.
func (c *Catalog) noPath(info *request.RequestInfo) error {
	if info.APIPrefix == "api" || c.Snapshot().BuiltIn(info.APIGroup) {
		return response.NotFound()
	}
	return ErrNoPath
}

// isNamespaces is true for /api/v1/namespaces/NAME, where the name is also
// taken for a namespace: for this one, in which the request is authorized, and for
// no other.
func isNamespaces(gv schema.GroupVersion, info *request.RequestInfo) bool {
	return gv.Group == "" && info.Resource == "namespaces" && len(info.Parts) > 1 && info.Parts[1] == info.Namespace
}

// Info is what the path and method of a request say. It is never nil.
func Info(r *http.Request) *request.RequestInfo {
	info, ok := request.RequestInfoFrom(r.Context())
	if !ok {
		return &request.RequestInfo{Path: r.URL.Path, Verb: strings.ToLower(r.Method)}
	}
	return info
}

// User is whose request it is: who was authenticated, or is impersonated. Nil,
// where no filter has found that out, is refused by everything that is asked.
func User(r *http.Request) user.Info {
	u, _ := request.UserFrom(r.Context())
	return u
}

// As is the registry as the request's user sees it.
func (q *Request) As(all registry.Access) registry.Registry { return all.As(User(q.R)) }

// Attributes describe a request to the authorizer.
func Attributes(r *http.Request) authorizer.AttributesRecord {
	info := Info(r)
	a := authorizer.AttributesRecord{
		User: User(r), Verb: info.Verb, Path: info.Path, ResourceRequest: info.IsResourceRequest,
		Namespace: info.Namespace, Name: info.Name,
		APIGroup: info.APIGroup, APIVersion: info.APIVersion,
		Resource: info.Resource, Subresource: info.Subresource,
	}
	if info.FieldSelector != "" {
		if sel, err := fields.ParseSelector(info.FieldSelector); err != nil {
			a.FieldSelectorParsingErr = err
		} else {
			a.FieldSelectorRequirements = sel.Requirements()
		}
	}
	if info.LabelSelector != "" {
		if sel, err := labels.Parse(info.LabelSelector); err != nil {
			a.LabelSelectorParsingErr = err
		} else {
			a.LabelSelectorRequirements, _ = sel.Requirements()
		}
	}
	return a
}

// PatchTypesOf are the media types of patches of a resource. kubectl reads them in
// OpenAPI: only Go types say how their lists are merged.
func PatchTypesOf(d *resource.Definition) []string {
	if d.Types == nil {
		return PatchTypes
	}
	return []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.ApplyYAMLPatchType)}
}

// PatchTypes are the media types of patches.
var PatchTypes = []string{
	string(types.JSONPatchType), string(types.MergePatchType),
	string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType),
}
