package registry

import (
	"net/http"
	"strings"
)

// official is where Docker's registry keeps images without an owner.
const official = "library/"

// canonical is the one name of a repository. The rule: which registry an image
// is from never counts, since every registry's name leads here; and what has no
// owner belongs to library. So web, library/web, and web of any registry are one
// image: whoever pulls web:v1 asks for library/web, whoever pulls
// pintle.dev/web:v1 for web, and clients that know no mirrors push
// pintle.dev/web with the registry's name in it.
func canonical(repo string) string {
	for {
		first, rest, ok := strings.Cut(repo, "/")
		if !ok {
			return official + repo
		}
		if !isHost(first) {
			return repo
		}
		repo = rest
	}
}

// isHost says whether the first part of an image's name is a registry, as all
// clients understand it.
func isHost(part string) bool {
	return strings.ContainsAny(part, ".:") || part == "localhost"
}

// short is the shortest name that means this repository.
func short(repo string) string {
	rest, ok := strings.CutPrefix(repo, official)
	if ok && !strings.Contains(rest, "/") {
		return rest
	}
	return repo
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
