package backend

import (
	"errors"
	"maps"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
)

// truncated says in an event that its bodies were left out.
const truncated = "audit.k8s.io/truncated"

// Truncate bounds the size of events and of batches.
type Truncate struct {
	Next     Backend
	MaxEvent int64 // bytes of an event; a larger one loses its bodies, or is lost
	MaxBatch int64 // bytes of the events that are passed on together
	Health   *Health
}

var errTooLarge = errors.New("an event is too large, even without bodies")

// ProcessEvents implements Backend.
func (t *Truncate) ProcessEvents(events ...*auditinternal.Event) bool {
	kept := true
	var batch []*auditinternal.Event
	var bytes int64
	pass := func() {
		if len(batch) > 0 {
			kept = t.Next.ProcessEvents(batch...) && kept
			batch, bytes = batch[:0:0], 0
		}
	}
	for _, ev := range events {
		ev, size, err := t.fit(ev)
		if err != nil {
			t.Health.Failed(err, 1)
			continue
		}
		if bytes+size > t.MaxBatch {
			pass()
		}
		batch, bytes = append(batch, ev), bytes+size
		t.Health.Succeeded()
	}
	pass()
	return kept
}

// fit returns an event that is small enough, a copy if it was not.
func (t *Truncate) fit(ev *auditinternal.Event) (*auditinternal.Event, int64, error) {
	line, err := encode(ev)
	if err != nil {
		return nil, 0, err
	}
	if size := int64(len(line)); size <= t.MaxEvent {
		return ev, size, nil
	}
	if ev.Level.Less(auditinternal.LevelRequest) {
		return nil, 0, errTooLarge
	}
	small := *ev
	small.RequestObject, small.ResponseObject = nil, nil
	small.Annotations = maps.Clone(ev.Annotations)
	if small.Annotations == nil {
		small.Annotations = map[string]string{}
	}
	small.Annotations[truncated] = "true"
	if line, err = encode(&small); err != nil {
		return nil, 0, err
	}
	if int64(len(line)) > t.MaxEvent {
		return nil, 0, errTooLarge
	}
	return &small, int64(len(line)), nil
}

// Close implements Backend.
func (t *Truncate) Close() error { return t.Next.Close() }

var _ Backend = (*Truncate)(nil)
