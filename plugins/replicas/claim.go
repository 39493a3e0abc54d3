package replicas

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/sdk/client"
)

// errStale: the set that was read is another one by now, or is being deleted.
var errStale = errors.New("the set has changed since it was read")

// claim finds the pods of the set: those it controls and that match still, and
// those that it adopts now.
//
// # Errors
//   - errStale
func (k *Kind) claim(c client.Client, s *Set) (owned, error) {
	var had, orphans []*pod
	if err := c.List(&had, client.ListOptions{Namespace: s.Namespace, Owner: client.OwnedBy(s.UID)}); err != nil {
		return owned{}, err
	}
	pods, astray := sort(s, had)
	if s.DeletionTimestamp != nil {
		return pods, nil
	}
	var failed []error
	for _, p := range astray {
		failed = append(failed, release(c, s, p))
	}
	if s.Selector == nil {
		return pods, errors.Join(failed...)
	}
	if err := c.List(&orphans, client.ListOptions{Namespace: s.Namespace, Owner: client.NoController(), Labels: s.Selector.String()}); err != nil {
		return owned{}, err
	}
	orphans = slices.DeleteFunc(orphans, func(p *pod) bool { return !p.active() })
	adopted, err := k.adopt(c, s, orphans)
	pods.active = append(pods.active, adopted...)
	return pods, errors.Join(append(failed, err)...)
}

// adopt makes the set the owner of pods that have none.
func (k *Kind) adopt(c client.Client, s *Set, orphans []*pod) ([]*pod, error) {
	if len(orphans) == 0 {
		return nil, nil
	}
	// What an orphaning deletion let go just now must not be taken back: what is read
	// here is no older than the pods that were listed.
	switch now, err := k.Get(c, s.Namespace, s.Name); {
	case client.IsNotFound(err):
		return nil, errStale
	case err != nil:
		return nil, err
	case now.UID != s.UID || now.DeletionTimestamp != nil:
		return nil, errStale
	}
	var adopted []*pod
	var failed []error
	for _, p := range orphans {
		next := *p
		switch err := patchOwners(c, &next, k.ownedBy(s)); {
		case err == nil:
			adopted = append(adopted, &next)
		case client.IsNotFound(err):
		default: // somebody was faster, perhaps
			failed = append(failed, fmt.Errorf("adopt pod %s: %w", p.Name, err))
		}
	}
	return adopted, errors.Join(failed...)
}

// release lets go of a pod whose labels match no longer.
func release(c client.Client, s *Set, p *pod) error {
	next := *p
	err := patchOwners(c, &next, map[string]string{"$patch": "delete", "uid": s.UID})
	// Invalid is a pod of another uid under that name, as upstream has it.
	if err == nil || client.IsNotFound(err) || client.IsInvalid(err) {
		return nil
	}
	return fmt.Errorf("release pod %s: %w", p.Name, err)
}

// patchOwners adds or takes away an owner of the pod of that uid, whatever else
// changes about it at the same time.
func patchOwners(c client.Client, p *pod, change any) error {
	return c.Patch(p, client.Patch{Type: client.StrategicPatch,
		Data: map[string]any{"metadata": map[string]any{"uid": p.UID, "ownerReferences": []any{change}}}})
}
