package aggregation

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	apiproxy "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/transport"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/proxy"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// Proxy serves a request of a group version that another server has.
type Proxy struct {
	b *backend
	// LongRunning: the request streams; Context ends it when the server stops.
	LongRunning bool
	Context     func(context.Context) (context.Context, context.CancelFunc)
	Response    response.Writer
}

// Find returns who serves a path, "/apis/GROUP/VERSION" and below; nil: this server.
func (a *Aggregator) Find(path string) *Proxy {
	rest, ok := strings.CutPrefix(path, "/apis/")
	if !ok {
		return nil
	}
	group, rest, _ := strings.Cut(rest, "/")
	version, _, _ := strings.Cut(rest, "/")
	if b := a.view.Load().backends[schema.GroupVersion{Group: group, Version: version}]; b != nil {
		return &Proxy{b: b}
	}
	return nil
}

// ServeHTTP sends the request on, in the name of whoever sends it. Texts are
// upstream's.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.b.available.Load() {
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	u, ok := request.UserFrom(r.Context())
	if !ok {
		http.Error(w, "missing user", http.StatusInternalServerError)
		return
	}
	upgrade := httpstream.IsUpgradeRequest(r)
	if p.LongRunning || upgrade {
		ctx, cancel := p.Context(r.Context())
		defer cancel()
		flow.From(ctx).Begun() // it lasts as long as the client likes
		r = r.WithContext(ctx)
	}
	if !p.LongRunning {
		// Its time is the extension server's: it takes no slot of those who ask this one.
		select {
		case p.b.slots <- struct{}{}:
			defer func() { <-p.b.slots }()
		default:
			p.Response.Fail(w, r, response.TooManyRequests())
			return
		}
		if !upgrade {
			flow.From(r.Context()).Answer()
		}
	}
	p.send(w, r, u, upgrade)
}

func (p *Proxy) send(w http.ResponseWriter, r *http.Request, u user.Info, upgrade bool) {
	at, err := p.b.address(r.Context())
	if err != nil {
		p.b.a.c.Log.Debug("an extension server is nowhere", "apiservice", p.b.name, "error", err)
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	where := &url.URL{Scheme: at.Scheme, Host: at.Host, Path: r.URL.Path, RawQuery: r.URL.Query().Encode()}
	out, cancel := apiproxy.NewRequestForProxy(where, r)
	defer cancel()
	identify(out, u)
	if id := w.Header().Get(auditID); id != "" {
		out.Header.Set(auditID, id)
	}
	h := utilproxy.NewUpgradeAwareHandler(where, own{proxy.Checked{Transport: p.b.transport}, w.Header(), u}, true, upgrade, responder{p.b})
	h.FlushInterval = -1
	h.RejectForwardingRedirects = true // CVE-2022-3172
	h.ServeHTTP(w, out)
}

// auditID names a request in logs, here and there.
const auditID = "Audit-Id"

// identify says in headers who asks, in place of whatever the client says there.
func identify(r *http.Request, u user.Info) {
	transport.SetAuthProxyHeaders(r, u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra())
}

// own takes out of an answer what this server says itself.
type own struct {
	proxy.Checked
	said http.Header
	user user.Info
}

// RoundTrip implements http.RoundTripper.
func (o own) RoundTrip(r *http.Request) (*http.Response, error) {
	// Headers that the client names in Connection have been taken out by now.
	r = r.Clone(r.Context())
	identify(r, o.user)
	res, err := o.Checked.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for name := range o.said {
		res.Header.Del(name)
	}
	return res, nil
}

// responder answers errors of proxied requests.
type responder struct{ b *backend }

// Error implements utilproxy.ErrorResponder.
func (p responder) Error(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		panic(http.ErrAbortHandler) // the client is gone: nobody reads an answer
	}
	if r.Context().Err() == nil { // else the client's patience has ended
		p.b.moved() // it is looked after at once
	}
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

var _ utilproxy.ErrorResponder = responder{}

// OpenAPI are the hashes of the documents that others have of their group versions,
// by path: "apis/shop.example/v1".
func (a *Aggregator) OpenAPI() map[string]string {
	out := map[string]string{}
	for _, b := range a.view.Load().backends {
		if hash := b.openAPI.Load(); hash != nil {
			out[strings.TrimPrefix(b.path(), "/")] = *hash
		}
	}
	return out
}
