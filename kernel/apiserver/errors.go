package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// status is the one place where an error becomes what a client sees. Errors
// that are no Status errors are an internal matter: 500 with their text.
func status(err error) *metav1.Status {
	var api apierrors.APIStatus
	switch {
	case errors.As(err, &api):
		st := api.Status()
		if st.Status == "" {
			st.Status = metav1.StatusFailure
		}
		if st.Code == 0 {
			st.Code = http.StatusInternalServerError
			if st.Status == metav1.StatusSuccess {
				st.Code = http.StatusOK
			}
		}
		st.Kind, st.APIVersion = "Status", "v1"
		return &st
	case errors.Is(err, context.DeadlineExceeded):
		return status(apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0))
	}
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure,
		Code:     http.StatusInternalServerError,
		Reason:   metav1.StatusReasonUnknown,
		Message:  err.Error(),
	}
}

// fail answers a request with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	st := status(err)
	if st.Code == http.StatusInternalServerError {
		s.Log.Log(r.Context(), blame(r, err, slog.LevelError), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if st.Details != nil && st.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(st.Details.RetryAfterSeconds)))
	}
	s.writeMeta(w, r, int(st.Code), st)
}

// blame is the level at which the failure of a request is logged: it is no
// fault of the server when the client has gone.
func blame(r *http.Request, err error, level slog.Level) slog.Level {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return slog.LevelDebug
	}
	return level
}

// notFound and methodNotAllowed are upstream's answers to a path, or a method
// of a path, that a served group version does not have.
func notFound() error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "404: Page Not Found", 0, false)
}

func methodNotAllowed() error {
	return apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, "", schema.GroupResource{}, "", "405: Method Not Allowed", 0, false)
}

// mediaError is a failed negotiation: 406 for what the client wants to read,
// 415 for what it sent.
type mediaError struct {
	code     int32
	reason   metav1.StatusReason
	text     string
	accepted []string
}

func (e *mediaError) Error() string { return e.text + strings.Join(e.accepted, ", ") }

// Status makes a mediaError an API status.
func (e *mediaError) Status() metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Code: e.code, Reason: e.reason, Message: e.Error()}
}

func notAcceptable(accepted []string) error {
	return &mediaError{http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: ", accepted}
}

func unsupportedMediaType(accepted []string) error {
	return &mediaError{http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
		"the body of the request was in an unknown format - accepted media types include: ", accepted}
}

// noHTML keeps an error message from being taken for a page.
var noHTML = strings.NewReplacer(`&`, "&amp;", `<`, "&lt;", `>`, "&gt;")

func forbidden(a authorizer.Attributes, reason string) error {
	msg := noHTML.Replace(forbiddenMessage(a))
	if reason != "" {
		msg += ": " + reason
	}
	gr := schema.GroupResource{Group: a.GetAPIGroup(), Resource: a.GetResource()}
	return apierrors.NewForbidden(gr, a.GetName(), errors.New(msg))
}

func forbiddenMessage(a authorizer.Attributes) string {
	name := ""
	if u := a.GetUser(); u != nil {
		name = u.GetName()
	}
	if !a.IsResourceRequest() {
		return fmt.Sprintf("User %q cannot %s path %q", name, a.GetVerb(), a.GetPath())
	}
	res := a.GetResource()
	if sub := a.GetSubresource(); sub != "" {
		res += "/" + sub
	}
	where := "at the cluster scope"
	if ns := a.GetNamespace(); ns != "" {
		where = fmt.Sprintf("in the namespace %q", ns)
	}
	return fmt.Sprintf("User %q cannot %s resource %q in API group %q %s", name, a.GetVerb(), res, a.GetAPIGroup(), where)
}
