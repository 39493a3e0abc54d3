package negotiation

import (
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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

// Untransformable is the 406 of a client that asks for the form of a list where
// there is an object, or the other way round. In upstream's words, got is the Go
// type of what there is.
func Untransformable(as, is, got string) error {
	return &mediaError{http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"you requested " + as + ", but the requested object is " + is + " (" + got + ")", nil}
}

// NotAcceptable is the 406 of a client that reads none of the media types that
// are to be had.
func NotAcceptable(accepted []string) error {
	return &mediaError{http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: ", accepted}
}

// UnsupportedMediaType is the 415 of a body that is in none of the accepted
// media types.
func UnsupportedMediaType(accepted []string) error {
	return &mediaError{http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
		"the body of the request was in an unknown format - accepted media types include: ", accepted}
}
