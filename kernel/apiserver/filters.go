package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"
)

// auditID names a request in logs and answers, as upstream's header does.
const auditID = "Audit-Id"

// withRecovery names the request and turns a panic into a 500 that names it.
func (s *Server) withRecovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(auditID)
		if id == "" || len(id) > 64 {
			id = uuid.NewString()
		}
		w.Header().Set(auditID, id)
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p) // net/http's own way to drop a connection
			}
			s.metrics.panics.Inc()
			s.Log.Error("panic while serving", "method", r.Method, "path", r.URL.Path, "id", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.fail(w, r, apierrors.NewInternalError(fmt.Errorf("this request caused a panic; look for %s in the server's log", id)))
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) withRequestInfo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := s.info.NewRequestInfo(r)
		if err != nil {
			s.fail(w, r, apierrors.NewBadRequest(err.Error()))
			return
		}
		ctx := request.WithRequestInfo(r.Context(), info)
		ctx = warning.WithWarningRecorder(ctx, newWarnings(w))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// requestInfo is never nil behind withRequestInfo.
func requestInfo(r *http.Request) *request.RequestInfo {
	info, ok := request.RequestInfoFrom(r.Context())
	if !ok {
		return &request.RequestInfo{Path: r.URL.Path, Verb: strings.ToLower(r.Method)}
	}
	return info
}

// longRunning are requests that stream: no timeout and no in-flight slot.
func (s *Server) longRunning(info *request.RequestInfo) bool {
	if info.Verb == "watch" || info.Verb == "proxy" {
		return true
	}
	if !info.IsResourceRequest {
		return isProfiling(info.Path) // as upstream: a profile takes the time that it is asked for
	}
	if info.Subresource == "" {
		return false
	}
	d := s.Table.Lookup(schema.GroupResource{Group: info.APIGroup, Resource: info.Resource})
	return d != nil && isConnect(d.Subresource(info.Subresource))
}

// slowReader is how long a client may take to read what is ready for it.
const slowReader = 60 * time.Second

func (s *Server) withTimeout(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.longRunning(requestInfo(r)) {
			next.ServeHTTP(w, r)
			return
		}
		d := s.Limits.RequestTimeout
		if v := r.URL.Query().Get("timeout"); v != "" {
			asked, err := time.ParseDuration(v)
			if err != nil {
				s.fail(w, r, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - invalid timeout - %v", err)))
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
		_ = rc.SetWriteDeadline(time.Now().Add(d + slowReader))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (s *Server) withAuthentication(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if len(s.Audiences) > 0 {
			ctx = authenticator.WithAudiences(ctx, s.Audiences)
		}
		u := user.Info(anonymous)
		if s.Authenticator != nil {
			resp, ok, err := s.Authenticator.AuthenticateRequest(r.WithContext(ctx))
			if err != nil || !ok {
				s.metrics.authentication.WithLabelValues("failure").Inc()
				if r.ProtoMajor == 2 {
					w.Header().Set("Connection", "close") // as below
				}
				s.fail(w, r, apierrors.NewUnauthorized("Unauthorized"))
				return
			}
			u = resp.User
		}
		if r.ProtoMajor == 2 && u.GetName() == user.Anonymous {
			// As upstream (CVE-2023-44487): who does not say who he is gets no
			// HTTP/2 connection to send a thousand requests at once on.
			w.Header().Set("Connection", "close")
		}
		s.metrics.authentication.WithLabelValues("success").Inc()
		// Credentials end here: neither a log nor a proxied backend sees them.
		r = r.WithContext(request.WithUser(ctx, u))
		r.Header.Del("Authorization")
		w.Header().Set("Cache-Control", "no-cache, private")
		next.ServeHTTP(w, r)
	})
}

var anonymous = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

func (s *Server) withAuthorization(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.authorize(r.Context(), attributes(r)); err != nil {
			w.Header().Set("X-Content-Type-Options", "nosniff")
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authorize returns nil, a Forbidden, or an internal error.
func (s *Server) authorize(ctx context.Context, a authorizer.Attributes) error {
	decision, reason, err := s.Authorizer.Authorize(ctx, a)
	switch {
	case decision == authorizer.DecisionAllow:
		return nil
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil && !errors.Is(err, context.Canceled): // else the client has gone
		s.Log.Warn("authorizer", "error", err)
	}
	return forbidden(a, reason)
}

// attributes describe a request to the authorizer.
func attributes(r *http.Request) authorizer.AttributesRecord {
	info := requestInfo(r)
	u, _ := request.UserFrom(r.Context())
	a := authorizer.AttributesRecord{
		User: u, Verb: info.Verb, Path: info.Path, ResourceRequest: info.IsResourceRequest,
		Namespace: info.Namespace, Name: info.Name,
		APIGroup: info.APIGroup, APIVersion: info.APIVersion,
		Resource: info.Resource, Subresource: info.Subresource,
	}
	if info.FieldSelector != "" {
		if sel, err := fields.ParseSelector(info.FieldSelector); err != nil {
			a.FieldSelectorParsingErr = err
		} else {
			a.FieldSelectorRequirements = sel.Requirements()
		}
	}
	if info.LabelSelector != "" {
		if sel, err := labels.Parse(info.LabelSelector); err != nil {
			a.LabelSelectorParsingErr = err
		} else {
			a.LabelSelectorRequirements, _ = sel.Requirements()
		}
	}
	return a
}

// warnings puts warning headers on the answer, each text once and all of them
// within upstream's bounds.
type warnings struct {
	w    http.ResponseWriter
	seen map[string]bool
	size int
}

const (
	maxWarning  = 256  // runes of one warning when there are many
	maxWarnings = 4096 // bytes of all
)

func newWarnings(w http.ResponseWriter) *warnings { return &warnings{w: w} }

// AddWarning implements warning.Recorder. It is called by the one goroutine
// that serves the request, before the answer is written.
func (ws *warnings) AddWarning(agent, text string) {
	if text == "" || ws.seen[text] {
		return
	}
	if ws.seen == nil {
		ws.seen = map[string]bool{}
	}
	ws.seen[text] = true
	if agent == "" {
		agent = "-"
	}
	if ws.size+len(text) > maxWarnings {
		if rs := []rune(text); len(rs) > maxWarning {
			text = string(rs[:maxWarning])
		}
		if ws.size+len(text) > maxWarnings {
			return
		}
	}
	if h, err := utilnet.NewWarningHeader(299, agent, text); err == nil {
		ws.size += len(text)
		ws.w.Header().Add("Warning", h)
	}
}

var _ warning.Recorder = (*warnings)(nil)
