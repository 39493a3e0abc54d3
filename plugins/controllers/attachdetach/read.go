package attachdetach

import (
	"cmp"
	"slices"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// one reads an object of a name; nil if there is none. Upstream's controller may list
// pods, claims and volumes, and not get them, and so may this one.
func one[T any](c client.Client, namespace, name string) (*T, error) {
	var list []*T
	err := c.List(&list, client.ListOptions{Namespace: namespace, Fields: "metadata.name=" + name})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// by lists what has a value at a path.
func by[T any](c client.Client, namespace, path, value string) ([]*T, error) {
	var list []*T
	err := c.List(&list, client.ListOptions{Namespace: namespace, By: client.Index{Path: path, Value: value}})
	return list, err
}

// gather reads what matters for the volume of a driver that a PersistentVolume names,
// be it gone; nil if it is no driver's.
func gather(c client.Client, name string) (*state, error) {
	s := &state{volume: name, attachable: true, nodes: map[string]*node{}}
	v, err := one[volume](c, "", name)
	if err != nil {
		return nil, err
	}
	members := map[string]*volume{name: v}
	if v != nil {
		if v.Spec.CSI == nil {
			return nil, nil
		}
		s.driver, s.handle = v.Spec.CSI.Driver, v.Spec.CSI.Handle
		if err := s.ofDriver(c, members); err != nil {
			return nil, err
		}
	}
	for _, m := range slices.Sorted(keys(members)) {
		if err := s.ofMember(c, m, members[m]); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(s.users, func(a, b user) int {
		return cmp.Or(a.CreationTimestamp.Time().Compare(b.CreationTimestamp.Time()), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, u := range s.users {
		s.nodes[u.Spec.NodeName] = nil
	}
	for _, a := range s.attachments {
		s.nodes[a.Spec.NodeName] = nil
	}
	for n := range s.nodes {
		if s.nodes[n], err = nodeOf(c, n); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func nodeOf(c client.Client, name string) (*node, error) {
	n := &node{}
	if err := c.Get(n, "", name); err != nil {
		if client.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	return n, nil
}

// ofDriver reads whether the driver attaches, and which other PersistentVolumes are
// the same volume of it.
func (s *state) ofDriver(c client.Client, members map[string]*volume) error {
	d := &driver{}
	switch err := c.Get(d, "", s.driver); {
	case err == nil:
		s.attachable = d.Spec.AttachRequired == nil || *d.Spec.AttachRequired
	case !client.IsNotFound(err): // of a driver that says nothing, volumes are attached
		return err
	}
	same, err := by[volume](c, "", "spec.csi.volumeHandle", s.handle)
	for _, v := range same {
		if v.Spec.CSI.Driver == s.driver {
			members[v.Name] = v
		}
	}
	return err
}

// ofMember reads the attachments and users of a PersistentVolume, nil if it is gone.
func (s *state) ofMember(c client.Client, name string, v *volume) error {
	list, err := by[attachment](c, "", "spec.source.persistentVolumeName", name)
	if err != nil {
		return err
	}
	s.attachments = append(s.attachments, list...)
	of, err := by[claim](c, "", "spec.volumeName", name)
	if err != nil {
		return err
	}
	for _, cl := range of {
		bound := v != nil && cl.Status.Phase == "Bound" && v.Spec.ClaimRef != nil && v.Spec.ClaimRef.UID == cl.UID
		if err := s.ofClaim(c, cl, name, v, bound); err != nil {
			return err
		}
	}
	if v == nil || v.Spec.ClaimRef == nil {
		return nil
	}
	lost := &claim{} // whose pods may still run
	lost.Namespace, lost.Name = v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name
	if slices.ContainsFunc(of, func(cl *claim) bool { return cl.Namespace == lost.Namespace && cl.Name == lost.Name }) {
		return nil
	}
	if is, err := one[claim](c, lost.Namespace, lost.Name); err != nil || is != nil {
		return err // another one of the name
	}
	return s.ofClaim(c, lost, name, v, false)
}

// ofClaim reads the pods that need the volume by a claim.
func (s *state) ofClaim(c client.Client, cl *claim, name string, v *volume, bound bool) error {
	list, err := by[pod](c, cl.Namespace, "spec.volumes.persistentVolumeClaim.claimName", cl.Name)
	if err != nil {
		return err
	}
	if o := metav1.ControllerOf(cl); o != nil && o.Kind == "Pod" {
		p, err := one[pod](c, cl.Namespace, o.Name)
		if err != nil {
			return err
		}
		if p != nil && p.owns(cl) {
			list = append(list, p)
		}
	}
	for _, p := range list {
		known := slices.ContainsFunc(s.users, func(u user) bool { return u.UID == p.UID && u.volume == name })
		if p.Spec.NodeName != "" && !p.terminated() && !known {
			s.users = append(s.users, user{p, name, v != nil && v.exclusive(), bound})
		}
	}
	return nil
}
