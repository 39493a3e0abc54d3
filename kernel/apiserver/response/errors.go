package response

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Status is the one place where an error becomes what a client sees. Errors
// that are no Status errors are an internal matter: 500 with their text.
func Status(err error) *metav1.Status {
	var api apierrors.APIStatus
	switch {
	case errors.As(err, &api):
		st := api.Status()
		if st.Status == "" {
			st.Status = metav1.StatusFailure
		}
		st.Code = answerable(&st)
		st.Kind, st.APIVersion = "Status", "v1"
		return &st
	case errors.Is(err, context.DeadlineExceeded):
		return Status(apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0))
	}
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure,
		Code:     http.StatusInternalServerError,
		Reason:   metav1.StatusReasonUnknown,
		Message:  err.Error(),
	}
}

// answerable is the code of an answer. Webhooks, nodes and whoever else is asked on the
// way to one may have named it: HTTP has no code beyond three digits, and a failure is
// told by 4xx or 5xx, or a client would take it for something else.
func answerable(st *metav1.Status) int32 {
	switch {
	case st.Status == metav1.StatusSuccess && st.Code >= 200 && st.Code < 300:
		return st.Code
	case st.Status == metav1.StatusSuccess:
		return http.StatusOK
	case st.Code >= 400 && st.Code < 600:
		return st.Code
	}
	return http.StatusInternalServerError
}

// Fail answers a request with an error.
func (s Writer) Fail(w http.ResponseWriter, r *http.Request, err error) {
	st := Status(err)
	if st.Code == http.StatusInternalServerError {
		s.Log.Log(r.Context(), blame(r, err, slog.LevelError), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if st.Details != nil && st.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(st.Details.RetryAfterSeconds)))
	}
	s.Meta(w, r, int(st.Code), st)
}

// blame is the level at which the failure of a request is logged: it is no
// fault of the server when the client has gone, nor when a webhook fails, which whoever
// calls webhooks tells once, nor when upstream, and hence the registry, answers what the
// client sent with 500 and no reason.
func blame(r *http.Request, err error, level slog.Level) slog.Level {
	var said apierrors.APIStatus
	switch {
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil, resource.IsOutsiders(err):
		return slog.LevelDebug
	case errors.As(err, &said) && said.Status().Reason == metav1.StatusReasonUnknown:
		return slog.LevelDebug
	}
	return level
}

// NotFound is upstream's answer to a path that a served group version does not
// have.
func NotFound() error {
	return apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "404: Page Not Found", 0, false)
}

// MethodNotAllowed is upstream's answer to a method that a path does not have.
func MethodNotAllowed() error {
	return apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, "", schema.GroupResource{}, "", "405: Method Not Allowed", 0, false)
}

// Routed refuses what upstream's router refuses of a path that answers GET alone
// and takes bodies of some media types; nil takes all.
//
// # Errors
//   - 405, 415
func Routed(r *http.Request, consumes []string) error {
	if r.Method != http.MethodGet {
		return MethodNotAllowed()
	}
	if consumes == nil {
		return nil
	}
	return negotiation.RouteBody(r, consumes)
}

// routedAs is Routed for a path that has one form.
func routedAs(r *http.Request, media string, consumes []string) error {
	if err := Routed(r, consumes); err != nil {
		return err
	}
	return negotiation.RouteAccept(r, []string{media})
}

// TooManyRequests is upstream's answer to a client for whom there is no room.
func TooManyRequests() error { return ComeAgain(1) }

// ComeAgain is TooManyRequests to a client that may come again after some seconds.
func ComeAgain(seconds int) error {
	return apierrors.NewTooManyRequests("Too many requests, please try again later.", seconds)
}

// TooLarge is the 413 of a body of more than limit bytes.
func TooLarge(limit int64) error {
	return apierrors.NewRequestEntityTooLargeError("limit is " + strconv.FormatInt(limit, 10))
}
