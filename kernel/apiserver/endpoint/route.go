package endpoint

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/resource"
)

// ErrNoPath is the error of a path that upstream leaves to net/http's own answer:
// one of no group that is built in, nor of an object that a custom resource could be.
var ErrNoPath = errors.New("no such path")

// errEmptyName refuses what is below an object without a name ("pods//status"): its verb is
// that of a collection, and who may list a subresource has no right to the objects.
var errEmptyName = apierrors.NewBadRequest("name must be provided")

// place is a form of paths of a resource. Upstream has routes for those at which
// it serves a method, and knows no other path.
type place int

const (
	placeAll        place = iota // a namespaced resource, in all namespaces
	placeCollection              // a resource, in its scope
	placeItem                    // an object
	placeSub                     // a subresource
	placeBelow                   // what is below a subresource
)

// methods of HTTP at a place, by the verbs that are served there.
var methods = map[place]map[string]string{
	placeAll:        {"list": http.MethodGet},
	placeCollection: {"list": http.MethodGet, "create": http.MethodPost, "deletecollection": http.MethodDelete},
	placeItem:       {"get": http.MethodGet, "update": http.MethodPut, "patch": http.MethodPatch, "delete": http.MethodDelete},
	placeSub:        {"get": http.MethodGet, "create": http.MethodPost, "update": http.MethodPut, "patch": http.MethodPatch, "delete": http.MethodDelete},
}

// proxied are the methods that are sent on to what is behind a proxy. OPTIONS has no
// verb: whoever may do everything may send it, and whether it is allowed is the
// backend's to say.
var proxied = []string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions,
}

// methodsAt are the methods that upstream serves at a place of the endpoint, or
// of it by a prefix of old clients, of which "watch" is left; none: there is no such
// path.
func (e *Endpoint) methodsAt(at place, prefix string) (out []string) {
	switch {
	case prefix == "watch" && e.Allows("watch") && (at == placeItem || at < placeItem && e.Allows("list")):
		return []string{http.MethodGet}
	case prefix != "":
		return nil
	case e.IsProxy() && at >= placeSub:
		return proxied
	}
	for verb, method := range methods[at] {
		if e.Allows(verb) {
			out = append(out, method)
		}
	}
	return out
}

// routed refuses what upstream's router does not know of a built-in resource: a
// path without methods, and other methods.
func (q *Request) routed(info *request.RequestInfo) error {
	at := q.place(info)
	if at >= placeSub && q.Target.Name == "" {
		return errEmptyName
	}
	switch known := q.methodsAt(at, prefix(info)); {
	case slices.Contains(known, q.R.Method):
		return nil
	case len(known) > 0:
		return q.Refusal(info.Verb)
	case q.Def.Unserved != "" && at != placeBelow:
		return q.Refusal(info.Verb)
	}
	return response.NotFound()
}

func (q *Request) place(info *request.RequestInfo) place {
	switch {
	case len(info.Parts) > 3:
		return placeBelow
	case q.Sub != nil:
		return placeSub
	case q.Target.Name != "":
		return placeItem
	case q.Def.Namespaced && q.Target.Namespace == "":
		return placeAll
	}
	return placeCollection
}

// prefix is the verb that old clients put before the resource; "": none.
func prefix(info *request.RequestInfo) string {
	after := 3 // apis, group, version
	if info.APIPrefix == "api" {
		after = 2
	}
	parts := strings.Split(strings.Trim(info.Path, "/"), "/")
	if len(parts) > after && parts[after] == info.Verb {
		return info.Verb
	}
	return ""
}

// custom finds the refusal of a request for a custom resource, which upstream
// routes by hand: there it is the verb that counts. It comes after the warnings
// that the version brings.
//
// # Errors
//   - ErrNoPath: a path of the other scope
func (q *Request) custom(info *request.RequestInfo) error {
	verbs := []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	gr := q.Def.GroupResource()
	switch {
	case q.Def.Namespaced && info.Namespace == "" && info.Verb != "list" && info.Verb != "watch":
		return ErrNoPath
	case info.Subresource != "" && (q.Sub == nil || len(info.Parts) > 3):
		q.refused = apierrors.NewNotFound(gr, info.Name)
		return nil
	case q.Sub != nil:
		verbs = q.Sub.Verbs
	}
	switch {
	case q.Sub != nil && q.Target.Name == "":
		q.refused = errEmptyName
	case !slices.Contains(verbs, info.Verb):
		q.refused = apierrors.NewMethodNotSupported(gr, info.Verb)
	case info.Verb == "create":
		q.Target.Name = "" // the object has one
	case info.Verb == "update" && q.Target.Name == "":
		q.refused = errEmptyName
	}
	return nil
}

// Refused is why a request that was routed is not served; nil: it is.
func (q *Request) Refused() error { return q.refused }

// IsProxy tells whether requests are sent on with what is below the path, by any
// method.
func (e *Endpoint) IsProxy() bool { return e.IsConnect() && e.Sub.Name == "proxy" }

// IsCustom tells whether a resource brings its own types: upstream serves it
// beside the router of those that are built in.
func IsCustom(d *resource.Definition) bool { return d.Types != nil }
