// Package proxy serves connect requests: it sends them on to where the object
// lives, as a stream to a node's agent, a log, or a plain request to a pod, a
// service or a node. Credentials of the client end before it.
package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apiproxy "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/apiserver/stream"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Config is what a Proxy needs.
type Config struct {
	Registry registry.Access
	// Reader serves the look-ups of connect hooks (a pod's node, for example).
	Reader resource.Reader
	// Admit asks the admission rules about a request before it is sent on. Nil
	// asks nobody.
	Admit func(ctx context.Context, u user.Info, t registry.Target, options runtime.Object) error
	// Authorize asks for a right beyond that which the request itself needs.
	Authorize func(context.Context, authorizer.Attributes) error
	Lifetime  *stream.Lifetime
	Response  response.Writer
	// NodeTLS authenticates this server to node agents; RootCAs verifies them.
	// Nil refuses connect requests to nodes.
	NodeTLS *tls.Config
	// Dial connects to targets.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Proxy serves connect requests. It is safe for concurrent use.
type Proxy struct {
	Config
	nodes *nodeTransports
}

// New makes a Proxy. It starts nothing.
func New(c Config) *Proxy { return &Proxy{Config: c, nodes: newNodeTransports(c.NodeTLS, c.Dial)} }

// Connect sends a request on to where the object lives: a stream to the
// node's agent, a log, or a plain proxy to a pod, service or node.
func (s *Proxy) Connect(c *endpoint.Request) (err error) {
	verb := endpoint.Info(c.R).Verb
	if len(c.R.URL.Query()["dryRun"]) > 0 {
		return apierrors.NewBadRequest("dryRun is not supported")
	}
	own := c.Target
	own.Subresource = ""
	ctx := c.R.Context()
	if c.Sub.Name == "proxy" {
		var scheme, port string
		if scheme, own.Name, port, err = splitProxyName(c.Def.Singular, own.Name); err != nil {
			return err
		}
		ctx = resource.WithProxyPort(ctx, scheme, port)
	}
	obj, err := c.As(s.Registry).Get(ctx, own, metav1.GetOptions{})
	if err != nil {
		if c.Sub.Absent != nil && apierrors.IsNotFound(err) {
			return c.Sub.Absent(ctx, own.Name)
		}
		return err
	}
	if err := s.admitConnect(c, own); err != nil {
		return err
	}
	t, err := c.Sub.Connect(ctx, s.Reader, obj.Obj, c.Subpath, c.R.URL.Query())
	if err != nil {
		return err
	}
	if t == nil {
		c.W.WriteHeader(http.StatusNoContent)
		return nil
	}
	// A WebSocket opens with GET, yet to run a command is to create. Through a
	// node's proxy commands are run, too.
	if verb == "get" && (t.Upgrade || c.Sub.Name == "proxy" && isNodes(c.Def) && httpstream.IsUpgradeRequest(c.R)) {
		attrs := endpoint.Attributes(c.R)
		attrs.Verb = "create"
		if err := s.Authorize(c.R.Context(), attrs); err != nil {
			return err
		}
	}
	transport, err := s.nodes.transport(t)
	if err != nil {
		return apierrors.NewServiceUnavailable(err.Error())
	}
	stream, cancel := s.Lifetime.Context(c.R.Context(), 0)
	defer cancel()
	c.R = c.R.WithContext(stream)
	loc := &url.URL{Scheme: t.Scheme, Host: t.Host, Path: t.Path, RawQuery: url.Values(t.Query).Encode()}
	switch {
	case t.Upgrade:
		s.stream(c, loc, transport, t)
	case c.Sub.Name == "proxy":
		s.proxy(c, loc, transport)
	case wsstream.IsWebSocketRequest(c.R):
		return s.fetchOverWebSocket(c, loc, transport)
	default:
		s.fetch(c, loc, transport)
	}
	return nil
}

// admitConnect asks the admission rules about what is to be done to own.
func (s *Proxy) admitConnect(c *endpoint.Request, own registry.Target) error {
	if s.Admit == nil || c.Sub.Options == nil {
		return nil
	}
	o, err := c.Sub.Options(c.Subpath, c.R.URL.Query())
	if err != nil {
		return err
	}
	own.Subresource = c.Target.Subresource
	return s.Admit(c.R.Context(), endpoint.User(c.R), own, o)
}

// isNodes tells the definition of nodes, behind whose proxy is the agent's API.
func isNodes(d *resource.Definition) bool { return d.Group == "" && d.Resource == "nodes" }

// splitProxyName takes "scheme:name:port", "name:port" or "name" apart.
func splitProxyName(kind, id string) (scheme, name, port string, err error) {
	switch parts := strings.Split(id, ":"); {
	case len(parts) == 1:
		return "", id, "", nil
	case len(parts) == 2 && parts[0] != "":
		return "", parts[0], parts[1], nil
	case len(parts) == 3 && (parts[0] == "http" || parts[0] == "https" || parts[0] == "") && parts[1] != "":
		return parts[0], parts[1], parts[2], nil
	}
	return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("invalid %s request %q", kind, id))
}

// stream joins the client's upgraded connection with the agent's. kubectl
// speaks WebSocket by default; agents speak SPDY, so WebSocket is translated
// (exec, attach) or unpacked (port-forward) here, as upstream does.
func (s *Proxy) stream(c *endpoint.Request, loc *url.URL, rt http.RoundTripper, t *resource.Target) {
	h := http.Handler(utilproxy.NewUpgradeAwareHandler(loc, rt, false, true, responder{s.Response}))
	switch {
	case wsstream.IsWebSocketRequestWithTunnelingProtocol(c.R):
		h = apiproxy.NewTunnelingHandler(h)
	case wsstream.IsWebSocketRequestWithStreamCloseProtocol(c.R):
		h = apiproxy.NewStreamTranslatorHandler(loc, rt, 0, streamOptions(c.R.URL.Query()))
	}
	h.ServeHTTP(c.W, c.R)
}

// streamOptions say which streams the client opened.
func streamOptions(q url.Values) apiproxy.Options {
	is := func(key string) bool {
		v, err := strconv.ParseBool(q.Get(key))
		return err == nil && v
	}
	return apiproxy.Options{Stdin: is("stdin"), Stdout: is("stdout"), Stderr: is("stderr"), Tty: is("tty")}
}

// proxy serves pods/proxy, services/proxy and nodes/proxy. Links in pages and
// redirects are rewritten to stay below this server's path.
func (s *Proxy) proxy(c *endpoint.Request, loc *url.URL, rt http.RoundTripper) {
	h := utilproxy.NewUpgradeAwareHandler(loc, rt, true, false, responder{s.Response})
	h.FlushInterval = -1
	h.ServeHTTP(c.W, c.R)
}

// fetch serves a GET that the agent answers as a stream (a log). An answer
// other than success becomes a Status.
func (s *Proxy) fetch(c *endpoint.Request, loc *url.URL, rt http.RoundTripper) {
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL, r.Out.Host = loc, loc.Host
			// The transport asks for compression by itself; a stream that is
			// followed must not be held back for it.
			r.Out.Header.Set("Accept-Encoding", "identity")
		},
		Transport:      rt,
		FlushInterval:  -1,
		ModifyResponse: func(res *http.Response) error { return backendError(c, res) },
		ErrorHandler:   responder{s.Response}.Error,
	}
	p.ServeHTTP(c.W, c.R)
}

// backendError reads why an agent refused.
func backendError(c *endpoint.Request, res *http.Response) error {
	if res.StatusCode < http.StatusBadRequest {
		return nil
	}
	const most = 8 << 10
	text, _ := io.ReadAll(io.LimitReader(res.Body, most)) // what there is of it
	msg := strings.TrimSpace(string(text))
	verb := endpoint.Info(c.R).Verb
	gr := c.Target.Resource.GroupResource()
	switch {
	case res.StatusCode == http.StatusInternalServerError:
		return apierrors.NewInternalError(fmt.Errorf("%s", msg))
	case res.StatusCode == http.StatusBadRequest:
		return apierrors.NewBadRequest(msg)
	}
	return apierrors.NewGenericServerResponse(res.StatusCode, verb, gr, c.Target.Name, msg, 0, true)
}

// responder answers errors of proxied requests.
type responder struct{ w response.Writer }

// Error implements utilproxy.ErrorResponder.
func (p responder) Error(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client is gone: nobody reads an answer
	}
	if _, isStatus := err.(apierrors.APIStatus); !isStatus {
		err = unreachable(err)
	}
	p.w.Fail(w, r, err)
}

func unreachable(err error) error {
	return apierrors.NewServiceUnavailable("error trying to reach service: " + err.Error())
}

var _ utilproxy.ErrorResponder = responder{}
