package node

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/record"
)

// refusing is a sink that answers everything with one error.
type refusing struct {
	record.EventSink
	err error
}

func (r refusing) Create(*corev1.Event) (*corev1.Event, error)        { return nil, r.err }
func (r refusing) Patch(*corev1.Event, []byte) (*corev1.Event, error) { return nil, r.err }

func TestEventSink(t *testing.T) {
	going := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "e", errors.New("the namespace is being terminated"))
	going.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, c := range map[string]struct {
		err     error
		dropped bool
	}{
		"the namespace is gone":  {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "n"), true},
		"the namespace is going": {going, true},
		"the event is gone":      {apierrors.NewNotFound(schema.GroupResource{Resource: "events"}, "e"), false},
		"it may not":             {apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "e", errors.New("no")), false},
		"no answer":              {errors.New("connection refused"), false},
	} {
		s, e := eventSink{refusing{err: c.err}}, &corev1.Event{}
		created, cerr := s.Create(e)
		patched, perr := s.Patch(e, nil)
		if c.dropped && (cerr != nil || perr != nil || created != e || patched != e) || !c.dropped && (!errors.Is(cerr, c.err) || !errors.Is(perr, c.err)) {
			t.Errorf("%s: create %v, patch %v", name, cerr, perr)
		}
	}
}
