package registry

import (
	"net/http"
	"strings"
)

// official is where Docker's registry keeps images without an owner: whoever
// pulls "web:v1" asks for library/web, whoever pulls "pintle.dev/web:v1" for
// web. Every registry's name leads here, so they are one image, and library/web
// is what it is called.
const official = "library/"

// canonical is the one name of a repository.
func canonical(repo string) string {
	if strings.Contains(repo, "/") {
		return repo
	}
	return official + repo
}

// split takes apart /v2/<repo>/<rest>; rest begins with the kind of thing that
// is asked for. Names of repositories may themselves contain such words, so the
// last one counts.
func split(path string) (repo, rest string, ok bool) {
	p, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return "", "", false
	}
	at := -1
	for _, kind := range []string{"/manifests/", "/blobs/", "/tags/list", "/referrers/"} {
		at = max(at, strings.LastIndex(p, kind))
	}
	if at <= 0 {
		return "", "", false
	}
	return p[:at], p[at+1:], true
}

// canonicalRequest asks for the repository by its one name.
func canonicalRequest(req *http.Request) *http.Request {
	repo, rest, ok := split(req.URL.Path)
	if !ok || canonical(repo) == repo {
		return req
	}
	u, out := *req.URL, *req
	u.Path, u.RawPath = "/v2/"+canonical(repo)+"/"+rest, ""
	out.URL = &u
	return &out
}

// manifestPath takes apart /v2/<repo>/manifests/<target>.
func manifestPath(path string) (repo, target string, ok bool) {
	repo, rest, ok := split(path)
	if !ok {
		return "", "", false
	}
	target, ok = strings.CutPrefix(rest, "manifests/")
	return repo, target, ok && target != "" && !strings.Contains(target, "/")
}
