package daemonset

import (
	"fmt"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// mine are the pods that the set controls and that match still; others are those that
// it controls and that do not.
func (s *session) mine() (mine, others []*pod, err error) {
	var had []*pod
	if err := s.Client.List(&had, client.ListOptions{Namespace: s.set.Namespace, Owner: client.OwnedBy(s.set.UID)}); err != nil {
		return nil, nil, err
	}
	for _, p := range had {
		switch {
		case !metav1.IsControlledBy(p, s.set):
		case s.set.Spec.Selector.Matches(p.Labels):
			mine = append(mine, p)
		default:
			others = append(others, p)
		}
	}
	return mine, others, nil
}

// claim finds the pods of the set. It lets go of those that match no longer, and
// adopts those that match and have no owner.
func (s *session) claim() ([]*pod, error) {
	mine, others, err := s.mine()
	if err != nil {
		return nil, err
	}
	for _, p := range others {
		if err := s.release(p); err != nil {
			return nil, err
		}
	}
	var orphans []*pod
	if err := s.Client.List(&orphans, client.ListOptions{Namespace: s.set.Namespace, Owner: client.NoController(), Labels: s.set.Spec.Selector.String()}); err != nil {
		return nil, err
	}
	for _, p := range orphans {
		if p.deleting() {
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

// mayAdopt reads the set again: what an orphaning deletion let go just now must not
// be taken back.
func (s *session) mayAdopt() (bool, error) {
	if s.asked {
		return s.may, nil
	}
	now := &appsv1.DaemonSet{}
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
	next, err := s.setOwners(p, append(slices.Clone(p.OwnerReferences), metav1.NewControllerRef(s.set, apiVersion, kind)))
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
	if refs == nil {
		refs = []metav1.OwnerReference{}
	}
	next := *p
	patch := map[string]any{"metadata": map[string]any{"uid": p.UID, "resourceVersion": p.ResourceVersion, "ownerReferences": refs}}
	return &next, s.Client.Patch(&next, client.Patch{Data: patch})
}
