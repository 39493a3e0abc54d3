package node

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/record"
)

// eventSink writes events to the API and drops those whose namespace is gone
// or going: what happens to the last pods of a namespace is of no interest to
// anybody any more, and the broadcaster would warn of each.
type eventSink struct{ record.EventSink }

// Create implements record.EventSink.
func (s eventSink) Create(e *corev1.Event) (*corev1.Event, error) {
	out, err := s.EventSink.Create(e)
	return withoutMissing(e, out, err)
}

// Patch implements record.EventSink. An event that is gone, with a namespace
// that is still there, is an error: the broadcaster creates it anew.
func (s eventSink) Patch(e *corev1.Event, data []byte) (*corev1.Event, error) {
	out, err := s.EventSink.Patch(e, data)
	return withoutMissing(e, out, err)
}

// withoutMissing takes an event without a namespace for written.
func withoutMissing(e, out *corev1.Event, err error) (*corev1.Event, error) {
	if withoutNamespace(err) {
		return e, nil
	}
	return out, err
}

func withoutNamespace(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	d := status.Status().Details
	return d != nil && d.Kind == "namespaces"
}

var _ record.EventSink = eventSink{}
