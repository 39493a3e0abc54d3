// Package status words the errors of the verbs as upstream does: clients and
// their tests compare codes, reasons and texts. It decides nothing; where an
// error comes from, says which one it is.
package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

const optimisticLockText = "the object has been modified; please apply your changes to the latest version and try again"

var errOptimisticLock = errors.New(optimisticLockText)

// BadRequest is the answer to a request that can never be served.
func BadRequest(msg string) error { return apierrors.NewBadRequest(msg) }

// BadRequestf is BadRequest with a format.
func BadRequestf(format string, args ...any) error {
	return apierrors.NewBadRequest(fmt.Sprintf(format, args...))
}

// Plain is an error that upstream answers with code 500 and its bare text. What
// is a Status already, stays as it is.
func Plain(err error) error {
	if Is(err) {
		return err
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Reason: metav1.StatusReasonUnknown, Message: err.Error(),
	}}
}

// UnknownResource is the answer to a request for what is not served.
func UnknownResource(gr schema.GroupResource) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource",
		Details: &metav1.StatusDetails{Group: gr.Group, Kind: gr.Resource},
	}}
}

// Precondition is the answer to a uid or resourceVersion that does not match,
// including the storage layer's own wording.
func Precondition(gr schema.GroupResource, key, name, what, want, got string) error {
	return apierrors.NewConflict(gr, name, fmt.Errorf(
		"StorageError: invalid object, Code: 4, Key: %s, ResourceVersion: 0, AdditionalErrorMsg: "+
			"Precondition failed: %s in precondition: %s, %s in object meta: %s", key, what, want, what, got))
}

// Conflict is the answer to a write of a state that is no longer the present one.
func Conflict(gr schema.GroupResource, name string) error {
	return apierrors.NewConflict(gr, name, errOptimisticLock)
}

// Exists is the answer to a create whose key is taken. generated tells that
// the server chose the name; deleting that the object in place is on its way
// out.
func Exists(gr schema.GroupResource, name string, generated, deleting bool) error {
	var err *apierrors.StatusError
	if generated {
		err = apierrors.NewGenerateNameConflict(gr, name, 1)
	} else {
		err = apierrors.NewAlreadyExists(gr, name)
	}
	if deleting {
		err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
	}
	return err
}

// TooLargeRevision answers a read that asks for a state this server has not
// seen.
func TooLargeRevision(want, current int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", want, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return err
}

// Store words a failure of the store for the client, nil for nil. Conflicts are
// handled before.
func Store(gr schema.GroupResource, verb, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnreadable): // names the key and the remedy; what caused it is no matter of the client's
		return apierrors.NewInternalError(err)
	case errors.Is(err, store.ErrTooLarge):
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewServerTimeout(gr, verb, 2)
	case errors.Is(err, context.Canceled):
		return err
	case Is(err):
		return err
	case errors.Is(err, watch.ErrStopped):
		return apierrors.NewServiceUnavailable("the server is shutting down")
	}
	return apierrors.NewInternalError(fmt.Errorf("%s %s %q: %w", verb, gr, name, err))
}

// Is reports that an error is a Status, which a client may see as it is.
func Is(err error) bool {
	var s apierrors.APIStatus
	return errors.As(err, &s)
}
