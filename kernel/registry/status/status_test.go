package status_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

var pods = schema.GroupResource{Resource: "pods"}

// Whatever a store fails with, the client gets a reason that says what to do; that he
// has gone himself is no Status.
func TestStore(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want metav1.StatusReason
	}{
		{store.ErrTooLarge, metav1.StatusReasonRequestEntityTooLarge},
		{fmt.Errorf("commit: %w", context.DeadlineExceeded), metav1.StatusReasonServerTimeout},
		{watch.ErrStopped, metav1.StatusReasonServiceUnavailable},
		{status.BadRequest("x"), metav1.StatusReasonBadRequest},
		{errors.New("x"), metav1.StatusReasonInternalError},
	} {
		if err := status.Store(pods, "create", "p", tc.err); apierrors.ReasonForError(err) != tc.want {
			t.Errorf("%v: %v, want %s", tc.err, err, tc.want)
		}
	}
	if status.Store(pods, "create", "p", nil) != nil || status.Is(status.Store(pods, "create", "p", context.Canceled)) {
		t.Error("nothing, or a client that has gone, is a Status")
	}
}

// The texts that clients compare.
func TestWords(t *testing.T) {
	for want, err := range map[string]error{
		`pods "p" already exists`:                          status.Exists(pods, "p", false, false),
		`object is being deleted: pods "p" already exists`: status.Exists(pods, "p", false, true),
		"the server could not find the requested resource": status.UnknownResource(pods),
		"Too large resource version: 9, current: 5":        status.TooLargeRevision(9, 5),
		"x":        status.Plain(errors.New("x")),
		"not so 1": status.Plain(status.BadRequestf("not so %d", 1)),
		`Operation cannot be fulfilled on pods "p": the object has been modified; please apply your changes to the latest version and try again`: status.Conflict(pods, "p"),
		`Operation cannot be fulfilled on pods "p": StorageError: invalid object, Code: 4, Key: /k, ResourceVersion: 0, AdditionalErrorMsg: ` +
			`Precondition failed: UID in precondition: a, UID in object meta: b`: status.Precondition(pods, "/k", "p", "UID", "a", "b"),
	} {
		if err.Error() != want && err.Error() != "Timeout: "+want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	}
}
