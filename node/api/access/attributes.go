package access

import (
	"net/http"
	"strings"
)

// paths of the node's API and the right that each needs, upstream's; everything
// else needs "proxy", the right to all of it.
var paths = []struct{ path, subresource string }{
	{"/stats", "stats"},
	{"/metrics", "metrics"},
	{"/logs", "log"},
	{"/checkpoint", "checkpoint"},
}

// fine are paths that "proxy" opens as well.
var fine = []struct{ path, subresource string }{
	{"/healthz", "healthz"},
	{"/pods", "pods"},
	{"/runningpods", "pods"},
	{"/configz", "configz"},
}

const proxy = "proxy"

// Attributes are what a request does with the node: the verb, and the
// subresources of which one must be allowed. To open a stream is to create,
// whatever its method.
func Attributes(r *http.Request) (verb string, subresources []string) {
	verb = map[string]string{http.MethodPost: "create", http.MethodGet: "get", http.MethodHead: "get", http.MethodPut: "update",
		http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	if r.Header.Get("Upgrade") != "" {
		verb = "create"
	}
	for _, p := range paths {
		if below(r.URL.Path, p.path) {
			return verb, []string{p.subresource}
		}
	}
	for _, p := range fine {
		if below(r.URL.Path, p.path) {
			return verb, []string{p.subresource, proxy}
		}
	}
	return verb, []string{proxy}
}

func below(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (rest == "" || rest[0] == '/')
}
