package statefulset

import (
	"fmt"

	"github.com/pintle-io/pintle/plugins/history"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// known is a template by its set, and a revision that holds it.
type known struct {
	uid        string
	generation int64
	revision   string // uid and number, which no other has
}

// maxKnown bounds what is remembered; all is forgotten when there is more.
const maxKnown = 4096

// templates reads what pods may be made of, when one is to be made: the present
// template is that of the set.
func (s *session) templates(from, to *appsv1.ControllerRevision) func(revision string) (*corev1.PodTemplateSpec, error) {
	return func(revision string) (*corev1.PodTemplateSpec, error) {
		if to != nil && revision == to.Name {
			return &s.set.Spec.Template, nil
		}
		if from == nil || revision != from.Name {
			return nil, fmt.Errorf("there is no controller revision %q", revision)
		}
		return history.Template(from)
	}
}

// chooseRevisions finds the revisions between which the set is, and makes the one
// of the present template. A set that is being deleted makes none.
func (s *session) chooseRevisions(all []*appsv1.ControllerRevision, st *state) (from, to *appsv1.ControllerRevision, err error) {
	if n := s.set.Status.CollisionCount; n != nil {
		st.collisions = *n
	}
	st.current, st.update = s.set.Status.CurrentRevision, s.set.Status.UpdateRevision
	if s.set.DeletionTimestamp != nil {
		return nil, nil, nil
	}
	if to, err = s.newest(all, &st.collisions); err != nil {
		return nil, nil, err
	}
	from = to
	for _, r := range all {
		if r.Name == s.set.Status.CurrentRevision {
			from = r
		}
	}
	st.current, st.update = from.Name, to.Name
	return from, to, nil
}

// newest is the revision of the present template, which it makes, or makes the
// newest again, when it is not.
func (s *session) newest(all []*appsv1.ControllerRevision, collisions *int32) (*appsv1.ControllerRevision, error) {
	if n := len(all); n > 0 && s.known[s.know(all[n-1])] {
		return all[n-1], nil
	}
	data, err := history.Data(&s.set.Spec.Template)
	if err != nil {
		return nil, err
	}
	to, number := history.Decide(all, data)
	switch {
	case to == nil:
		to, err = s.revisions.Create(data, number, s.set.Spec.Template.Labels, s.set.Annotations, collisions)
	case to.Revision != number:
		to, err = s.revisions.Raise(to, number)
	}
	if err != nil {
		return nil, err
	}
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[s.know(to)] = true
	return to, nil
}

// know names the set's template and a revision, whose data never changes.
func (s *session) know(r *appsv1.ControllerRevision) known {
	return known{s.set.UID, s.set.Generation, fmt.Sprint(r.UID, " ", r.Revision)}
}

// trim deletes the oldest revisions that nothing uses.
func (s *session) trim(all []*appsv1.ControllerRevision, st *state) error {
	limit := s.set.Spec.RevisionHistoryLimit
	if limit == nil || s.set.DeletionTimestamp != nil || len(all) <= int(*limit) {
		return nil
	}
	return s.revisions.Delete(history.Excess(all, live(st.current, st.update, st.pods), int(*limit)))
}
