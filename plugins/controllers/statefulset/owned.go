package statefulset

import (
	"fmt"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// readClaims reads claims by name. Most carry the labels of the set's selector and
// come with one list, which costs what has changed; the others are asked for.
func (s *session) readClaims(names []string) (map[string]*claim, error) {
	out := map[string]*claim{}
	if len(names) == 0 {
		return out, nil
	}
	var listed []*claim
	sel := &metav1.LabelSelector{}
	if s.set.Spec.Selector != nil {
		sel.MatchLabels = s.set.Spec.Selector.MatchLabels
	}
	if err := s.Client.List(&listed, client.ListOptions{Namespace: s.set.Namespace, Labels: sel.String()}); err != nil {
		return nil, err
	}
	byName := make(map[string]*claim, len(listed))
	for _, c := range listed {
		byName[c.Name] = c
	}
	for _, name := range names {
		if c := byName[name]; c != nil {
			out[name] = c
			continue
		}
		c := &claim{}
		switch err := s.Client.Get(c, s.set.Namespace, name); {
		case err == nil:
			out[name] = c
		case !client.IsNotFound(err):
			return nil, err
		}
	}
	return out, nil
}

// claimPods finds the pods of the set: those it controls and that match still, by
// labels and by name, and those that it adopts now.
func (s *session) claimPods() ([]*pod, error) {
	var had, orphans []*pod
	if err := s.Client.List(&had, client.ListOptions{Namespace: s.set.Namespace, Owner: client.OwnedBy(s.set.UID)}); err != nil {
		return nil, err
	}
	var mine []*pod
	for _, p := range had {
		switch {
		case !metav1.IsControlledBy(p, s.set):
		case s.matches(p):
			mine = append(mine, p)
		case s.set.DeletionTimestamp == nil:
			if err := s.release(p); err != nil {
				return nil, err
			}
		}
	}
	if s.set.DeletionTimestamp != nil {
		return mine, nil
	}
	if err := s.Client.List(&orphans, client.ListOptions{Namespace: s.set.Namespace, Owner: client.NoController(), Labels: s.set.Spec.Selector.String()}); err != nil {
		return nil, err
	}
	for _, p := range orphans {
		if p.deleting() || !s.matches(p) {
			continue
		}
		adopted, err := s.adopt(p)
		if err != nil {
			return nil, err
		}
		if adopted != nil {
			mine = append(mine, adopted)
		}
	}
	return mine, nil
}

func (s *session) matches(p *pod) bool {
	_, ok := p.ordinal(s.set)
	return ok && s.set.Spec.Selector.Matches(p.Labels)
}

// mayAdopt reads the set again: what an orphaning deletion let go just now must not
// be taken back.
func (s *session) mayAdopt() (bool, error) {
	if s.asked {
		return s.may, nil
	}
	now := &appsv1.StatefulSet{}
	err := s.Client.Get(now, s.set.Namespace, s.set.Name)
	if err != nil && !client.IsNotFound(err) {
		return false, err
	}
	s.asked, s.may = true, err == nil && now.UID == s.set.UID && now.DeletionTimestamp == nil
	return s.may, nil
}

// adopt makes the set the owner of a pod; nil when it may not, or the pod is gone.
func (s *session) adopt(p *pod) (*pod, error) {
	if ok, err := s.mayAdopt(); err != nil || !ok {
		return nil, err
	}
	refs := append(slices.Clone(p.OwnerReferences), metav1.NewControllerRef(s.set, apiVersion, kind))
	next, err := s.setOwners(p, refs)
	if client.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("adopt pod %s: %w", p.Name, err)
	}
	return next, nil
}

func (s *session) release(p *pod) error {
	refs := slices.DeleteFunc(slices.Clone(p.OwnerReferences), func(r metav1.OwnerReference) bool { return r.UID == s.set.UID })
	if _, err := s.setOwners(p, refs); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("release pod %s: %w", p.Name, err)
	}
	return nil
}

// setOwners writes the owners of a pod that is as it was read.
func (s *session) setOwners(p *pod, refs []metav1.OwnerReference) (*pod, error) {
	next := *p
	patch := map[string]any{"metadata": map[string]any{"uid": p.UID, "resourceVersion": p.ResourceVersion, "ownerReferences": refs}}
	return &next, s.Client.Patch(&next, client.Patch{Data: patch})
}
