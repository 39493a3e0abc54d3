package hostclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Bounds of what a plugin fetches: another server answers it, and may be anybody's.
const (
	// fetchTime bounds one fetch. A fetch takes half of what is left of its call, too,
	// so that a plugin of which others make a fool is not taken for one that hangs.
	fetchTime = 10 * time.Second
	// maxFetched bounds an answer: the metrics of 20,000 pods.
	maxFetched = 8 << 20
	maxParams  = 16
)

// fetch asks the API what it serves and does not keep, by the way that clients take.
func (k *Client) fetch(ctx context.Context, r *wire.Reader) error {
	q := r.FetchRequest()
	if err := r.Err(); err != nil {
		return err
	}
	t, query, err := k.c.fetched(q)
	if err != nil {
		return err
	}
	verb := fetchVerb(t)
	if err := k.c.May(verb, t); err != nil {
		return err
	}
	if k.c.Served == nil {
		return wire.Errorf(wire.KindUnsupported, "nothing is fetched here")
	}
	only, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience(ctx))
	defer cancel()
	a, err := k.c.ask(ctx, cancel, verb, t, query)
	if err != nil {
		return err
	}
	var answer map[string]any
	if err := utiljson.Unmarshal(a.body.Bytes(), &answer); err != nil {
		return wire.Errorf(wire.KindUnavailable, "what %s was answered by is no JSON object: %v", t.Resource.GroupVersion(), err)
	}
	k.buf, err = only.Append(k.buf, answer)
	return err
}

// patience is how long a fetch may take.
func patience(ctx context.Context) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return min(fetchTime, time.Until(at)/2)
	}
	return fetchTime
}

func fetchVerb(t registry.Target) string {
	if t.Name == "" {
		return "list"
	}
	return "get"
}

// fetched reads what is to be fetched.
func (c *Config) fetched(q wire.FetchRequest) (registry.Target, url.Values, error) {
	t := registry.Target{Namespace: q.Namespace, Name: q.Name, Subresource: q.Subresource}
	gvr, ok := ParseResource(q.Resource)
	bad := func(format string, args ...any) error {
		return wire.Errorf(wire.KindBadRequest, "fetch: "+format, args...)
	}
	if !ok {
		return t, nil, bad("resource %q: want group/version/plural", q.Resource)
	}
	t.Resource = gvr
	for _, s := range []string{gvr.Group, gvr.Version, gvr.Resource, q.Namespace, q.Name, q.Subresource} {
		if strings.ContainsAny(s, "/%?#") || s == "." || s == ".." {
			return t, nil, bad("%q cannot be a part of a path", s)
		}
	}
	switch d := c.Catalog.Lookup(gvr.GroupResource()); {
	case gvr.Version == "" || gvr.Resource == "":
		return t, nil, bad("resource %q: want group/version/plural", q.Resource)
	case q.Name == "" && q.Subresource != "":
		return t, nil, bad("subresource %q of no name", q.Subresource)
	case gvr.Group == "" || d != nil && !d.Virtual:
		return t, nil, bad("%s are stored: get or list them", q.Resource)
	case len(q.Params) > maxParams:
		return t, nil, bad("%d parameters, %d are allowed", len(q.Params), maxParams)
	}
	query := url.Values{}
	for _, p := range q.Params {
		if p[0] == "watch" || p[0] == "follow" {
			return t, nil, bad("parameter %q: what does not end cannot be fetched", p[0])
		}
		query.Add(p[0], p[1])
	}
	return t, query, nil
}

// ask sends a request through the API's own handler.
func (c *Config) ask(ctx context.Context, stop func(), verb string, t registry.Target, query url.Values) (a *answer, err error) {
	path := []string{"/apis", t.Resource.Group, t.Resource.Version}
	if t.Namespace != "" {
		path = append(path, "namespaces", t.Namespace)
	}
	path = append(path, t.Resource.Resource)
	for _, s := range []string{t.Name, t.Subresource} {
		if s != "" {
			path = append(path, s)
		}
	}
	where := url.URL{Path: strings.Join(path, "/"), RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "fetch: %v", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "pintle-plugin/"+c.Plugin)
	r.RequestURI = where.RequestURI()
	a = &answer{header: http.Header{}, stop: stop}
	if err := c.serve(a, r, verb, t); err != nil {
		return nil, err
	}
	return a, a.err(ctx, verb, t)
}

// serve has the API serve a request whose handler may give up as one of net/http may.
func (c *Config) serve(a *answer, r *http.Request, verb string, t registry.Target) (err error) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // it is compared by net/http, too
			err = wire.Errorf(wire.KindUnavailable, "whoever serves %s broke off", t.Resource.GroupVersion())
		} else if p != nil {
			panic(p)
		}
	}()
	c.Served(a, r, func(x authorizer.Attributes) error {
		// The same by the API's reading of the path: nothing is smuggled by its form.
		at := registry.Target{Resource: t.Resource, Namespace: x.GetNamespace(), Name: x.GetName(), Subresource: x.GetSubresource()}
		at.Resource.Group, at.Resource.Version, at.Resource.Resource = x.GetAPIGroup(), x.GetAPIVersion(), x.GetResource()
		if !x.IsResourceRequest() || x.GetVerb() != verb || at != t {
			return apierrors.NewForbidden(t.Resource.GroupResource(), t.Name, fmt.Errorf("the API reads %s %s as %s of %s: name the parts of a path by their fields", verb, t.Resource.Resource, x.GetVerb(), x.GetPath()))
		}
		if err := c.May(verb, at); err != nil {
			return apierrors.NewForbidden(t.Resource.GroupResource(), t.Name, err)
		}
		return nil
	})
	return nil
}

// answer takes an answer of the API, as far as its bound.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
	over   bool
	stop   func() // ends the request
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 && code >= http.StatusOK {
		a.code = code
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.over = a.over || a.body.Len()+len(b) > maxFetched; a.over {
		a.stop()
		return 0, http.ErrContentLength
	}
	return a.body.Write(b)
}

// Flush implements http.Flusher.
func (a *answer) Flush() {}

// err is what an answer says that is not the one asked for.
func (a *answer) err(ctx context.Context, verb string, t registry.Target) error {
	gr := t.Resource.GroupResource()
	switch {
	case a.over:
		return wire.Errorf(wire.KindBadRequest, "%s %s: the answer is longer than %d bytes: narrow it by namespace or labels", verb, gr, maxFetched)
	case ctx.Err() != nil:
		return wire.Errorf(wire.KindTimeout, "%s %s: no answer in time", verb, gr)
	case a.code == http.StatusOK:
		return nil
	}
	var st metav1.Status
	if json.Unmarshal(a.body.Bytes(), &st) == nil && st.Kind == "Status" && st.Status == metav1.StatusFailure {
		return &apierrors.StatusError{ErrStatus: st}
	}
	if a.code == http.StatusNotFound { // no API does without a Status, where there is one
		return wire.Errorf(wire.KindUnsupported, "the server could not find the requested resource (%s %s)", verb, gr)
	}
	text := strings.TrimSpace(a.body.String())
	return apierrors.NewGenericServerResponse(a.code, verb, gr, t.Name, text[:min(len(text), 1024)], 0, true)
}

// resource tells the resource of a kind.
func (k *Client) resource(r *wire.Reader) error {
	named := r.Str()
	if err := r.Err(); err != nil {
		return err
	}
	gvr, d, ok := byKind(k.c.Catalog, named)
	if !ok || d == nil {
		return wire.Errorf(wire.KindUnsupported, "there is no kind %q", named)
	}
	k.buf = wire.AppendString(k.buf, Resource{d, gvr}.path())
	return nil
}
