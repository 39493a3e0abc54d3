package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// The texts below are upstream's: clients and their tests compare them.
const optimisticLockText = "the object has been modified; please apply your changes to the latest version and try again"

var errOptimisticLock = errors.New(optimisticLockText)

func badRequest(msg string) error { return apierrors.NewBadRequest(msg) }

func badRequestf(format string, args ...any) error {
	return apierrors.NewBadRequest(fmt.Sprintf(format, args...))
}

// plain is an error that upstream answers with code 500 and its bare text.
func plain(err error) error {
	if errors.As(err, new(apierrors.APIStatus)) {
		return err
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Reason: metav1.StatusReasonUnknown, Message: err.Error(),
	}}
}

func unknownResource(t Target) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource",
		Details: &metav1.StatusDetails{Group: t.Resource.Group, Kind: t.Resource.Resource},
	}}
}

func wrongKind(k *kind, t Target, obj runtime.Object) error {
	got := obj.GetObjectKind().GroupVersionKind().Kind
	if got == "" {
		got = fmt.Sprintf("%T", obj)
	}
	return badRequestf("%s in version %q cannot be handled as a %s", got, k.version(t).Version, k.Kind)
}

// precondition is upstream's answer to a uid or resourceVersion that does not
// match, including the storage layer's own wording.
func (k *kind) precondition(key, name, what, want, got string) error {
	return apierrors.NewConflict(k.gr, name, fmt.Errorf(
		"StorageError: invalid object, Code: 4, Key: %s, ResourceVersion: 0, AdditionalErrorMsg: "+
			"Precondition failed: %s in precondition: %s, %s in object meta: %s", key, what, want, what, got))
}

func (k *kind) notFound(name string) error { return apierrors.NewNotFound(k.gr, name) }

func (k *kind) conflict(name string) error {
	return apierrors.NewConflict(k.gr, name, errOptimisticLock)
}

// exists is the answer to a create whose key is taken. generated tells that
// the server chose the name; deleting that the object in place is on its way
// out.
func (k *kind) exists(name string, generated, deleting bool) error {
	var err *apierrors.StatusError
	if generated {
		err = apierrors.NewGenerateNameConflict(k.gr, name, 1)
	} else {
		err = apierrors.NewAlreadyExists(k.gr, name)
	}
	if deleting {
		err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
	}
	return err
}

func tooLarge(size int) error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("object of %d bytes, limit is %d", size, MaxObjectBytes))
}

func tooManyOps(n int) error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("%d writes in an atomic batch, limit is %d", n, store.MaxOps))
}

// tooLargeRevision answers a read that asks for a state this server has not
// seen.
func tooLargeRevision(want, current int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", want, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return err
}

// storeError words a failure of the store for the client. Conflicts are
// handled before.
func (k *kind) storeError(verb, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrTooLarge):
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewServerTimeout(k.gr, verb, 2)
	case errors.Is(err, context.Canceled):
		return err
	case isStatus(err):
		return err
	case errors.Is(err, watch.ErrStopped):
		return apierrors.NewServiceUnavailable("the server is shutting down")
	}
	return apierrors.NewInternalError(fmt.Errorf("%s %s %q: %w", verb, k.gr, name, err))
}

func isStatus(err error) bool {
	var s apierrors.APIStatus
	return errors.As(err, &s)
}
