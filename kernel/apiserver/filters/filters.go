// Package filters is what every request passes before it is served: recovery
// from panics, request info, metrics, timeout, authentication, the audit log, flow
// control, impersonation, authorization, and the intake of bodies. What a request does is
// the next handler's.
package filters

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/pintle-io/pintle/kernel/apiserver/body"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/metrics"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/fairness"
)

// Chain is what every request passes before it is served, in the order of
// [Chain.Handler]. It is immutable.
type Chain struct {
	Catalog  *endpoint.Catalog
	Response response.Writer
	Metrics  *metrics.Metrics
	Flow     *flow.Control
	Bodies   body.Receiver
	// Fairness gives requests their turn; nil bounds how many are executed at once,
	// for all alike.
	Fairness *fairness.Control
	// Timeout of requests that do not stream.
	Timeout time.Duration
	// Authenticator finds the user of a request; nil makes everybody
	// system:anonymous.
	Authenticator authenticator.Request
	Audiences     authenticator.Audiences
	Authorization auth.Authorization
	// Audit records requests; nil records none.
	Audit *audit.Auditor
}

// paths of the API, by which a request's info is found.
var paths = request.RequestInfoFactory{
	APIPrefixes:          sets.NewString("api", "apis"),
	GrouplessAPIPrefixes: sets.NewString("api"),
}

// Handler puts the filters before next.
func (s *Chain) Handler(next http.Handler) http.Handler {
	for _, filter := range []func(http.Handler) http.Handler{ // innermost first
		s.withTurn, s.withBody, s.withAuthorization, s.withImpersonation, s.withFlow, s.withAudit, s.withAuthentication,
		s.withTimeout, s.withMetrics, s.withRequestInfo, s.withAuditContext, s.withRecovery,
	} {
		next = filter(next)
	}
	return next
}

func (s *Chain) withMetrics(next http.Handler) http.Handler {
	return s.Metrics.Measure(s.Catalog, next)
}

// auditID names a request in logs and answers, as upstream's header does.
const auditID = "Audit-Id"

// withRecovery names the request and turns a panic into a 500 that names it.
func (s *Chain) withRecovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(auditID)
		if id == "" {
			id = uuid.NewString()
		}
		w.Header().Set(auditID, id)
		id = id[:min(len(id), 64)] // a client may have made it, and of any length
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // net/http's own way to drop a connection
			}
			s.Metrics.Panics.Inc()
			s.Response.Log.Error("panic while serving", "method", r.Method, "path", r.URL.Path, "id", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.Response.Fail(w, r, apierrors.NewInternalError(fmt.Errorf("this request caused a panic; look for %s in the server's log", id)))
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *Chain) withRequestInfo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := paths.NewRequestInfo(r)
		if err != nil {
			s.Response.Fail(w, r, apierrors.NewBadRequest(err.Error()))
			return
		}
		ctx := request.WithRequestInfo(r.Context(), info)
		ctx = warning.WithWarningRecorder(ctx, newWarnings(w))
		w.Header().Set("Cache-Control", "no-cache, private") // refusals as well: a proxy must not keep them
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (s *Chain) withTimeout(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info := endpoint.Info(r); s.Catalog.LongRunning(info) || httpstream.IsUpgradeRequest(r) && s.Catalog.Find(info) == nil {
			// What another server upgrades lasts as long as the client likes.
			next.ServeHTTP(w, r)
			return
		}
		d := s.Timeout
		if v := r.URL.Query().Get("timeout"); v != "" {
			asked, err := time.ParseDuration(v)
			if err != nil {
				w, r = s.failing(w, r)
				s.Response.Fail(w, r, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - invalid timeout - %v", err)))
				return
			}
			if asked > 0 && asked < d {
				d = asked
			}
		}
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		// The context does not wake a read of the body or a write of the
		// answer: a client that stops in the middle must not keep its slot.
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(d)) // not every writer can
		_ = rc.SetWriteDeadline(time.Now().Add(d + response.SlowReader))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (s *Chain) withAuthentication(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if len(s.Audiences) > 0 {
			ctx = authenticator.WithAudiences(ctx, s.Audiences)
		}
		u := user.Info(anonymous)
		if own := ownOf(ctx); own != nil {
			u = own.user
		} else if s.Authenticator != nil {
			resp, ok, err := s.Authenticator.AuthenticateRequest(r.WithContext(ctx))
			if err != nil || !ok {
				s.Metrics.Authentication.WithLabelValues("failure").Inc()
				if r.ProtoMajor == 2 {
					w.Header().Set("Connection", "close") // as below
				}
				w, r = s.failing(w, r)
				s.Response.Fail(w, r, apierrors.NewUnauthorized("Unauthorized"))
				return
			}
			u = resp.User
		}
		if r.ProtoMajor == 2 && u.GetName() == user.Anonymous {
			// As upstream (CVE-2023-44487): who does not say who he is gets no
			// HTTP/2 connection to send a hundred requests at once on.
			w.Header().Set("Connection", "close")
		}
		s.Metrics.Authentication.WithLabelValues("success").Inc()
		// Credentials end here: neither a log nor a proxied backend sees them.
		r = r.WithContext(request.WithUser(ctx, u))
		r.Header.Del("Authorization")
		next.ServeHTTP(w, r)
	})
}

var anonymous = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

func (s *Chain) withAuthorization(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		check := s.Authorization.CheckRecorded
		if own := ownOf(r.Context()); own != nil {
			check = func(_ context.Context, a authorizer.Attributes) error { return own.allow(a) }
		}
		if err := check(r.Context(), endpoint.Attributes(r)); err != nil {
			w.Header().Set("X-Content-Type-Options", "nosniff")
			s.Response.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withFlow gives a request its ticket. It stands before impersonation: what a
// request holds is held by whoever sent it, as whomever he acts.
func (s *Chain) withFlow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := request.UserFrom(r.Context())
		t := s.Flow.Begin(u, endpoint.Info(r))
		defer t.End()
		next.ServeHTTP(w, r.WithContext(flow.With(r.Context(), t)))
	})
}

// withBody reads a request's body, of a client that is allowed to send it,
// before the request takes a slot: a client that sends slowly keeps nobody
// else from being served.
func (s *Chain) withBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := endpoint.Info(r)
		if s.Catalog.LongRunning(info) || !body.Expected(r) {
			next.ServeHTTP(w, r)
			return
		}
		if err := s.Bodies.Receive(w, r); err != nil {
			if apierrors.IsTooManyRequests(err) {
				s.Metrics.Dropped.WithLabelValues(requestKind(info.Verb)).Inc()
			}
			s.Response.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withTurn has requests wait for their turn.
func (s *Chain) withTurn(next http.Handler) http.Handler {
	if s.Fairness == nil {
		return s.withInFlight(next)
	}
	return s.withFairness(next)
}

// withInFlight bounds the short requests that are executed at once.
func (s *Chain) withInFlight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := endpoint.Info(r)
		if s.Catalog.LongRunning(info) {
			next.ServeHTTP(w, r)
			return
		}
		kind := requestKind(info.Verb)
		if !flow.From(r.Context()).Execute(kind == "readOnly") {
			s.Metrics.Dropped.WithLabelValues(kind).Inc()
			s.Response.Fail(w, r, response.TooManyRequests())
			return
		}
		gauge := s.Metrics.InFlight.WithLabelValues(kind)
		gauge.Inc()
		defer gauge.Dec()
		next.ServeHTTP(w, r)
	})
}

// requestKind is upstream's label.
func requestKind(verb string) string {
	switch verb {
	case "get", "list", "watch", "head":
		return "readOnly"
	}
	return "mutating"
}
