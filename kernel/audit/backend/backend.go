// Package backend is where audit events go: a log file, a webhook, and what stands
// before them (a buffer, a limit of size). What fails here fails no request: it is
// counted, and told once when it begins and once when it is over ([Health]). Only a
// backend that is asked to be strict reports to its caller that an event was lost.
//
// RATIONALE.md: "Why are the backends of the audit log our own?"
package backend

import (
	"bytes"
	"encoding/json"
	"errors"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// Backend takes events. It is safe for concurrent use.
type Backend interface {
	// ProcessEvents takes events, which belong to the caller when it returns. It
	// reports whether none was lost, as far as it can tell.
	ProcessEvents(events ...*auditinternal.Event) bool
	// Close passes on what waits, as far as that is possible at once, and frees what
	// the backend holds. What comes later is lost.
	Close() error
}

// encode writes an event in the version audit.k8s.io/v1, as one line without its end.
func encode(ev *auditinternal.Event) ([]byte, error) {
	var out auditv1.Event
	if err := auditv1.Convert_audit_Event_To_v1_Event(ev, &out, nil); err != nil {
		return nil, err
	}
	out.APIVersion, out.Kind = auditv1.SchemeGroupVersion.String(), "Event"
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(&out); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Lenient hides from callers that events were lost: their requests go on.
func Lenient(b Backend) Backend { return lenient{b} }

type lenient struct{ Backend }

func (l lenient) ProcessEvents(events ...*auditinternal.Event) bool {
	l.Backend.ProcessEvents(events...)
	return true
}

// Union gives events to every one of several backends.
type Union []Backend

// ProcessEvents implements Backend.
func (u Union) ProcessEvents(events ...*auditinternal.Event) bool {
	kept := true
	for _, b := range u {
		kept = b.ProcessEvents(events...) && kept
	}
	return kept
}

// Close implements Backend.
func (u Union) Close() error {
	var errs []error
	for _, b := range u {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

var (
	_ Backend = lenient{}
	_ Backend = Union(nil)
)
