package apiserver

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/proxy"
	apiproxy "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// connect sends a request on to where the object lives: a stream to the
// node's agent, a log, or a plain proxy to a pod, service or node.
func (s *Server) connect(c *call) (err error) {
	verb := requestInfo(c.r).Verb
	// OPTIONS has no verb: whoever may do everything may send it, and whether it
	// is allowed is the backend's to say.
	if !c.allows(verb) && !(c.sub.Name == "proxy" && c.r.Method == http.MethodOptions) {
		return c.refusal(verb)
	}
	if len(c.r.URL.Query()["dryRun"]) > 0 {
		return apierrors.NewBadRequest("dryRun is not supported")
	}
	own := c.target
	own.Subresource = ""
	ctx := c.r.Context()
	if c.sub.Name == "proxy" {
		var scheme, port string
		if scheme, own.Name, port, err = splitProxyName(own.Name); err != nil {
			return err
		}
		ctx = resource.WithProxyPort(ctx, scheme, port)
	}
	obj, err := s.Registry.Get(ctx, own, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := s.admitConnect(c, own); err != nil {
		return err
	}
	t, err := c.sub.Connect(ctx, s.Reader, obj.Obj, c.subpath, c.r.URL.Query())
	if err != nil {
		return err
	}
	// A WebSocket opens with GET, yet to run a command is to create. Through a
	// node's proxy commands are run, too.
	if verb == "get" && (t.Upgrade || c.sub.Name == "proxy" && isNodes(c.def) && httpstream.IsUpgradeRequest(c.r)) {
		attrs := attributes(c.r)
		attrs.Verb = "create"
		if err := s.authorize(c.r.Context(), attrs); err != nil {
			return err
		}
	}
	transport, err := s.nodes.transport(t)
	if err != nil {
		return apierrors.NewServiceUnavailable(err.Error())
	}
	stream, cancel := s.streamContext(c.r.Context(), 0)
	defer cancel()
	c.r = c.r.WithContext(stream)
	loc := &url.URL{Scheme: t.Scheme, Host: t.Host, Path: t.Path, RawQuery: url.Values(t.Query).Encode()}
	switch {
	case t.Upgrade:
		s.stream(c, loc, transport, t)
	case c.sub.Name == "proxy":
		s.proxy(c, loc, transport)
	case wsstream.IsWebSocketRequest(c.r):
		return s.fetchOverWebSocket(c, loc, transport)
	default:
		s.fetch(c, loc, transport)
	}
	return nil
}

// admitConnect asks the admission rules about what is to be done to own.
func (s *Server) admitConnect(c *call, own registry.Target) error {
	if s.AdmitConnect == nil || c.sub.Options == nil {
		return nil
	}
	o, err := c.sub.Options(c.subpath, c.r.URL.Query())
	if err != nil {
		return err
	}
	own.Subresource = c.target.Subresource
	return s.AdmitConnect(c.r.Context(), own, o)
}

// isNodes tells the definition of nodes, behind whose proxy is the agent's API.
func isNodes(d *resource.Definition) bool { return d.Group == "" && d.Resource == "nodes" }

// splitProxyName takes "scheme:name:port", "name:port" or "name" apart.
func splitProxyName(id string) (scheme, name, port string, err error) {
	switch parts := strings.Split(id, ":"); {
	case len(parts) == 1:
		return "", id, "", nil
	case len(parts) == 2 && parts[0] != "":
		return "", parts[0], parts[1], nil
	case len(parts) == 3 && (parts[0] == "http" || parts[0] == "https" || parts[0] == "") && parts[1] != "":
		return parts[0], parts[1], parts[2], nil
	}
	return "", "", "", apierrors.NewBadRequest(fmt.Sprintf("invalid proxy request %q", id))
}

// stream joins the client's upgraded connection with the agent's. kubectl
// speaks WebSocket by default; agents speak SPDY, so WebSocket is translated
// (exec, attach) or unpacked (port-forward) here, as upstream does.
func (s *Server) stream(c *call, loc *url.URL, rt http.RoundTripper, t *resource.Target) {
	h := http.Handler(proxy.NewUpgradeAwareHandler(loc, rt, false, true, responder{s}))
	switch {
	case wsstream.IsWebSocketRequestWithTunnelingProtocol(c.r):
		h = apiproxy.NewTunnelingHandler(h)
	case wsstream.IsWebSocketRequestWithStreamCloseProtocol(c.r):
		h = apiproxy.NewStreamTranslatorHandler(loc, rt, 0, streamOptions(c.r.URL.Query()))
	}
	h.ServeHTTP(c.w, c.r)
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
func (s *Server) proxy(c *call, loc *url.URL, rt http.RoundTripper) {
	h := proxy.NewUpgradeAwareHandler(loc, rt, true, false, responder{s})
	h.FlushInterval = -1
	h.ServeHTTP(c.w, c.r)
}

// fetch serves a GET that the agent answers as a stream (a log). An answer
// other than success becomes a Status.
func (s *Server) fetch(c *call, loc *url.URL, rt http.RoundTripper) {
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
		ErrorHandler:   responder{s}.Error,
	}
	p.ServeHTTP(c.w, c.r)
}

// backendError reads why an agent refused.
func backendError(c *call, res *http.Response) error {
	if res.StatusCode < http.StatusBadRequest {
		return nil
	}
	const most = 8 << 10
	text, _ := io.ReadAll(io.LimitReader(res.Body, most)) // what there is of it
	msg := strings.TrimSpace(string(text))
	verb := requestInfo(c.r).Verb
	gr := c.target.Resource.GroupResource()
	switch {
	case res.StatusCode == http.StatusInternalServerError:
		return apierrors.NewInternalError(fmt.Errorf("%s", msg))
	case res.StatusCode == http.StatusBadRequest:
		return apierrors.NewBadRequest(msg)
	}
	return apierrors.NewGenericServerResponse(res.StatusCode, verb, gr, c.target.Name, msg, 0, true)
}

// responder answers errors of proxied requests.
type responder struct{ s *Server }

// Error implements proxy.ErrorResponder.
func (p responder) Error(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client is gone: nobody reads an answer
	}
	if _, isStatus := err.(apierrors.APIStatus); !isStatus {
		err = unreachable(err)
	}
	p.s.fail(w, r, err)
}

func unreachable(err error) error {
	return apierrors.NewServiceUnavailable("error trying to reach service: " + err.Error())
}

var _ proxy.ErrorResponder = responder{}
