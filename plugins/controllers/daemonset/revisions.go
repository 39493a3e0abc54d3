package daemonset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/plugins/history"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// known is a template by its set, and the revisions among which the newest holds it.
type known struct {
	uid        string
	generation int64
	revisions  string // uids and numbers, in order
}

// maxKnown bounds what is remembered; all is forgotten when there is more.
const maxKnown = 4096

func knowing(set *appsv1.DaemonSet, all []*appsv1.ControllerRevision) known {
	var b strings.Builder
	for _, r := range all {
		fmt.Fprint(&b, r.UID, " ", r.Revision, " ")
	}
	return known{set.UID, set.Generation, b.String()}
}

// hashOf is what pods of a revision are labelled with.
func hashOf(r *appsv1.ControllerRevision) string {
	return r.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
}

// current finds the revision of the present template, and makes it, or makes it the
// newest again, when it is not; old are the others, sorted. collisions counts names
// that were taken.
func (s *session) current(all []*appsv1.ControllerRevision, pods []*pod, collisions *int32) (cur *appsv1.ControllerRevision, old []*appsv1.ControllerRevision, err error) {
	if n := len(all); n > 0 && hashOf(all[n-1]) != "" && s.known[knowing(s.set, all)] {
		return all[n-1], all[:n-1], nil
	}
	data, err := history.Data(&s.set.Spec.Template)
	if err != nil {
		return nil, nil, err
	}
	if all, err = s.label(all); err != nil {
		return nil, nil, err
	}
	var same []*appsv1.ControllerRevision
	for _, r := range all {
		if history.Equal(r.Data, data) {
			same = append(same, r)
		} else {
			old = append(old, r)
		}
	}
	number := int64(1)
	if n := len(old); n > 0 {
		number = old[n-1].Revision + 1
	}
	if len(same) == 0 {
		cur, err = s.revisions.Create(data, number, s.set.Spec.Template.Labels, s.set.Annotations, collisions)
	} else {
		cur = same[len(same)-1]
		err = s.merge(cur, same[:len(same)-1], pods)
		if err == nil && cur.Revision < number {
			cur, err = s.revisions.Raise(cur, number)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[knowing(s.set, append(slices.Clone(old), cur))] = true
	return cur, old, nil
}

// label gives revisions of others' making the label by which pods are told apart:
// their names, which no two share.
func (s *session) label(all []*appsv1.ControllerRevision) ([]*appsv1.ControllerRevision, error) {
	all = slices.Clone(all)
	for i, r := range all {
		if hashOf(r) != "" {
			continue
		}
		next := *r
		patch := map[string]any{"metadata": map[string]any{"uid": r.UID, "labels": map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: r.Name}}}
		if err := s.Client.Patch(&next, client.Patch{Data: patch}); err != nil {
			return nil, fmt.Errorf("label controller revision %s: %w", r.Name, err)
		}
		all[i] = &next
	}
	return all, nil
}

// merge leaves one of several revisions of the same template. Its pods become those of
// the one that is left before the others go, so that none is replaced for that.
func (s *session) merge(keep *appsv1.ControllerRevision, others []*appsv1.ControllerRevision, pods []*pod) error {
	if len(others) == 0 {
		return nil
	}
	for i, p := range pods {
		if !slices.ContainsFunc(others, func(r *appsv1.ControllerRevision) bool { return hashOf(r) == p.hash() && hashOf(r) != hashOf(keep) }) {
			continue
		}
		next := *p
		patch := map[string]any{"metadata": map[string]any{"uid": p.UID, "labels": map[string]string{appsv1.DefaultDaemonSetUniqueLabelKey: hashOf(keep)}}}
		if err := s.Client.Patch(&next, client.Patch{Data: patch}); err != nil {
			return fmt.Errorf("label pod %s: %w", p.Name, err)
		}
		pods[i] = &next
	}
	return s.revisions.Delete(others)
}

// excess are the revisions to delete: the oldest that no pod is of, until so many are
// left beside the present one.
func excess(old []*appsv1.ControllerRevision, pods []*pod, limit int) (out []*appsv1.ControllerRevision) {
	live := map[string]bool{}
	for _, p := range pods {
		live[p.hash()] = true
	}
	for _, r := range old {
		if len(old)-len(out) <= limit {
			break
		}
		if !live[hashOf(r)] {
			out = append(out, r)
		}
	}
	return out
}

// trim deletes them.
func (s *session) trim(old []*appsv1.ControllerRevision, pods []*pod) error {
	limit := s.set.Spec.RevisionHistoryLimit
	if limit == nil || len(old) <= int(*limit) {
		return nil
	}
	return s.revisions.Delete(excess(old, pods, int(*limit)))
}
