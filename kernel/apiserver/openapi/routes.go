package openapi

import (
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/common"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/resource"
)

// routes describes the paths of one group version.
func (b *builder) routes(gv *endpoint.GroupVersion) common.RouteContainer {
	root := "/" + pathOf(gv.GroupVersion)
	own := map[string]bool{} // kinds whose models are not the table's
	for _, d := range gv.Definitions {
		if custom(d) {
			own[d.Kind], own[listKind(d)] = true, true
		}
	}
	rs := &routes{root: root, gv: gv.GroupVersion, new: func(k schema.GroupVersionKind) any {
		if k.GroupVersion() == gv.GroupVersion && own[k.Kind] {
			return modelOf(k)
		}
		obj, err := b.scheme.New(k)
		if err != nil {
			return nil
		}
		return obj
	}}
	rs.add(route{method: http.MethodGet, path: root + "/", id: "get" + rs.prefix() + "APIResources",
		text: "get available resources", produces: negotiation.MediaTypes, answer: &metav1.APIResourceList{}})
	for _, d := range gv.Definitions {
		rs.resource(d)
		for i := range d.Subresources {
			if d.Subresources[i].In(gv.Version) {
				rs.subresource(d, &d.Subresources[i])
			}
		}
	}
	return rs
}

// routes implements common.RouteContainer.
type routes struct {
	root string
	gv   schema.GroupVersion
	new  func(schema.GroupVersionKind) any
	all  []common.Route
	ids  map[string]int
}

func (rs *routes) RootPath() string                   { return rs.root }
func (rs *routes) PathParameters() []common.Parameter { return nil }
func (rs *routes) Routes() []common.Route             { return rs.all }

// prefix is the group and version in operation IDs: "CoreV1", "AppsV1".
func (rs *routes) prefix() string {
	group, _, _ := strings.Cut(rs.gv.Group, ".")
	if group == "" {
		group = "core"
	}
	return title(group) + title(rs.gv.Version)
}

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (rs *routes) add(r route) {
	if rs.ids == nil {
		rs.ids = map[string]int{}
	}
	// IDs must differ even where two resources share a kind.
	if rs.ids[r.id]++; rs.ids[r.id] > 1 {
		r.id += title(r.resource)
	}
	rs.all = append(rs.all, r)
}

func (rs *routes) resource(d *resource.Definition) {
	kind := rs.gv.WithKind(d.Kind)
	list := rs.gv.WithKind(d.ListKind)
	if list.Kind == "" {
		list.Kind = d.Kind + "List"
	}
	collection, item, params, ns := rs.paths(d)
	base := route{kind: kind, resource: d.Resource, params: params, produces: negotiation.MediaTypes, patches: endpoint.PatchTypesOf(d)}
	named := base
	named.params = append(named.params[:len(named.params):len(named.params)], nameParam)
	id := func(verb string) string { return verb + rs.prefix() + ns + d.Kind }
	for _, v := range d.Verbs {
		r, n := base, named
		r.path, n.path = collection, item
		switch v {
		case "list":
			rs.add(r.with(http.MethodGet, id("list"), "list", "list or watch objects of kind "+d.Kind, listParams, nil, rs.new(list)))
			if d.Namespaced {
				all := base
				all.path, all.params = rs.root+"/"+d.Resource, nil
				rs.add(all.with(http.MethodGet, "list"+rs.prefix()+d.Kind+"ForAllNamespaces", "list", "list or watch objects of kind "+d.Kind, listParams, nil, rs.new(list)))
			}
		case "create":
			rs.add(r.with(http.MethodPost, id("create"), "post", "create a "+d.Kind, writeParams, rs.new(kind), rs.new(kind)))
		case "deletecollection":
			rs.add(r.with(http.MethodDelete, id("deletecollection"), "deletecollection", "delete collection of "+d.Kind, append(listParams[:len(listParams):len(listParams)], deleteParams...), &metav1.DeleteOptions{}, &metav1.Status{}))
		case "get":
			rs.add(n.with(http.MethodGet, id("read"), "get", "read the specified "+d.Kind, nil, nil, rs.new(kind)))
		case "update":
			rs.add(n.with(http.MethodPut, id("replace"), "put", "replace the specified "+d.Kind, writeParams, rs.new(kind), rs.new(kind)))
		case "patch":
			rs.add(n.with(http.MethodPatch, id("patch"), "patch", "partially update the specified "+d.Kind, patchParams, &metav1.Patch{}, rs.new(kind)))
		case "delete":
			rs.add(n.with(http.MethodDelete, id("delete"), "delete", "delete a "+d.Kind, deleteParams, &metav1.DeleteOptions{}, &metav1.Status{}))
		}
	}
}

func (rs *routes) paths(d *resource.Definition) (collection, item string, params []param, ns string) {
	collection = rs.root + "/" + d.Resource
	if d.Namespaced {
		collection = rs.root + "/namespaces/{namespace}/" + d.Resource
		params = append(params, namespaceParam)
		ns = "Namespaced"
	}
	return collection, collection + "/{name}", params, ns
}

func (rs *routes) subresource(d *resource.Definition, sub *resource.Subresource) {
	_, item, params, ns := rs.paths(d)
	kind := endpoint.SubresourceKind(d, sub, rs.gv)
	r := route{path: item + "/" + sub.Name, kind: kind, resource: d.Resource, params: append(params, nameParam), produces: negotiation.MediaTypes, patches: endpoint.PatchTypesOf(d)}
	id := func(verb string) string { return verb + rs.prefix() + ns + d.Kind + title(sub.Name) }
	if sub.Style == resource.StyleConnect {
		r.produces = []string{"*/*"}
		for _, m := range []struct{ verb, method string }{{"get", http.MethodGet}, {"create", http.MethodPost}} {
			if slices.Contains(sub.Verbs, m.verb) {
				rs.add(r.with(m.method, id("connect"+title(strings.ToLower(m.method))), "connect", "connect to "+sub.Name+" of "+d.Kind, nil, nil, ""))
			}
		}
		return
	}
	text := sub.Name + " of the specified " + d.Kind
	for _, v := range sub.Verbs {
		switch v {
		case "get":
			rs.add(r.with(http.MethodGet, id("read"), "get", "read "+text, nil, nil, rs.new(kind)))
		case "update":
			rs.add(r.with(http.MethodPut, id("replace"), "put", "replace "+text, writeParams, rs.new(kind), rs.new(kind)))
		case "patch":
			rs.add(r.with(http.MethodPatch, id("patch"), "patch", "partially update "+text, patchParams, &metav1.Patch{}, rs.new(kind)))
		case "create":
			rs.add(r.with(http.MethodPost, id("create"), "post", "create "+text, writeParams, rs.new(kind), rs.new(kind)))
		}
	}
}

// route implements common.Route.
type route struct {
	method, path, id, action, text string
	resource                       string
	kind                           schema.GroupVersionKind
	params                         []param
	produces, patches              []string
	body, answer                   any
}

func (r route) with(method, id, action, text string, params []param, body, answer any) route {
	r.method, r.id, r.action, r.text, r.body, r.answer = method, id, action, text, body, answer
	r.params = append(r.params[:len(r.params):len(r.params)], params...)
	r.params = append(r.params, prettyParam)
	if body != nil {
		r.params = append(r.params, param{name: "body", kind: common.BodyParameterKind, required: method != http.MethodDelete})
	}
	return r
}

func (r route) Method() string        { return r.method }
func (r route) Path() string          { return r.path }
func (r route) OperationName() string { return r.id }
func (r route) Description() string   { return r.text }
func (r route) Produces() []string    { return r.produces }
func (r route) Consumes() []string {
	if r.method == http.MethodPatch {
		return r.patches
	}
	return []string{"*/*"}
}
func (r route) RequestPayloadSample() any  { return r.body }
func (r route) ResponsePayloadSample() any { return r.answer }

func (r route) Parameters() []common.Parameter {
	out := make([]common.Parameter, len(r.params))
	for i := range r.params {
		out[i] = r.params[i]
	}
	return out
}

func (r route) Metadata() map[string]any {
	if r.kind.Empty() {
		return nil
	}
	return map[string]any{extensionKind: kindExtension(r.kind), "x-kubernetes-action": r.action}
}

func (r route) StatusCodeResponses() []common.StatusCodeResponse {
	if r.answer == nil {
		return nil
	}
	out := []common.StatusCodeResponse{answer{http.StatusOK, "OK", r.answer}}
	if r.method == http.MethodPost || r.method == http.MethodPut || r.method == http.MethodPatch {
		out = append(out, answer{http.StatusCreated, "Created", r.answer})
	}
	if r.method == http.MethodPost || r.method == http.MethodDelete {
		out = append(out, answer{http.StatusAccepted, "Accepted", r.answer})
	}
	return out
}

// answer implements common.StatusCodeResponse.
type answer struct {
	code  int
	text  string
	model any
}

func (r answer) Code() int       { return r.code }
func (r answer) Message() string { return r.text }
func (r answer) Model() any      { return r.model }

// param implements common.Parameter.
type param struct {
	name, text, typ string
	kind            common.ParameterKind
	required        bool
}

func (p param) Name() string               { return p.name }
func (p param) Description() string        { return p.text }
func (p param) Required() bool             { return p.required }
func (p param) Kind() common.ParameterKind { return p.kind }
func (p param) AllowMultiple() bool        { return false }
func (p param) DataType() string {
	if p.typ == "" {
		return "string"
	}
	return p.typ
}

func query(name, typ, text string) param {
	return param{name: name, typ: typ, text: text, kind: common.QueryParameterKind}
}

var (
	namespaceParam = param{name: "namespace", text: "object name and auth scope, such as for teams and projects", required: true}
	nameParam      = param{name: "name", text: "name of the object", required: true}
	prettyParam    = query("pretty", "string", "If 'true', then the output is pretty printed.")

	writeParams = []param{
		query("dryRun", "string", "When present, modifications are not persisted. The only valid value is All."),
		query("fieldManager", "string", "The name of the actor that makes these changes, at most 128 printable characters."),
		query("fieldValidation", "string", "What to do with unknown or duplicate fields: Ignore, Warn (the default) or Strict."),
	}
	patchParams = append(writeParams[:len(writeParams):len(writeParams)],
		query("force", "boolean", "Take fields of an apply request over from other managers."))
	deleteParams = []param{
		writeParams[0],
		query("gracePeriodSeconds", "integer", "Seconds before the object is deleted; zero means at once."),
		query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
		query("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
	}
	listParams = []param{
		query("allowWatchBookmarks", "boolean", "Ask for events of type BOOKMARK."),
		query("continue", "string", "The token of the next page, from the page before."),
		query("fieldSelector", "string", "Restrict the objects by their fields."),
		query("labelSelector", "string", "Restrict the objects by their labels."),
		query("limit", "integer", "The most objects in one answer."),
		query("resourceVersion", "string", "The revision to read at or to watch from."),
		query("resourceVersionMatch", "string", "How resourceVersion applies to a list: Exact or NotOlderThan."),
		query("sendInitialEvents", "boolean", "Begin a watch with the present objects."),
		query("timeoutSeconds", "integer", "How long a list or watch may last."),
		query("watch", "boolean", "Watch for changes instead of listing."),
	}
)
