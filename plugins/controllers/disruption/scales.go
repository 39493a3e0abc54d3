package disruption

import (
	"fmt"
	"strings"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// scales finds how many pods the owners of pods want.
type scales struct {
	c         client.Client
	namespace string
}

// scale is an owner that was found, and the pods that it wants.
type scale struct {
	uid      string
	replicas int32
}

// sum adds up what the controllers of pods want, each counted once; unmanaged are the
// pods without one. ReplicaSets of a Deployment count as that Deployment.
//
// # Errors
//   - a pod's controller is not there, or says nothing of how many pods it wants
//   - those of reading it
func (s *scales) sum(pods []*pod) (expected int64, unmanaged int, err error) {
	asked, counted := map[string]bool{}, map[string]bool{}
	for _, p := range pods {
		ref := p.controller()
		if ref == nil {
			unmanaged++
			continue
		}
		if asked[ref.UID] {
			continue
		}
		asked[ref.UID] = true
		found, err := s.of(ref)
		if err != nil {
			return 0, 0, err
		}
		if found == nil {
			return 0, 0, fmt.Errorf("found no controllers for pod %q", p.Metadata.Name)
		}
		if !counted[found.uid] {
			counted[found.uid] = true
			expected += int64(found.replicas)
		}
	}
	return expected, unmanaged, nil
}

// of is the scale of a controller; nil when it is not there.
func (s *scales) of(ref *metav1.OwnerReference) (*scale, error) {
	group := ""
	if g, _, ok := strings.Cut(ref.APIVersion, "/"); ok {
		group = g
	}
	switch {
	case group == "" && ref.Kind == "ReplicationController":
		return s.read("v1/replicationcontrollers", ref, nil)
	case group == "apps" && ref.Kind == "StatefulSet":
		return s.read("apps/v1/statefulsets", ref, nil)
	case (group == "apps" || group == "extensions") && ref.Kind == "ReplicaSet":
		var of *metav1.OwnerReference
		found, err := s.read("apps/v1/replicasets", ref, &of)
		if err != nil || found == nil || of == nil || of.Kind != "Deployment" || !strings.HasPrefix(of.APIVersion, "apps/") && !strings.HasPrefix(of.APIVersion, "extensions/") {
			return found, err
		}
		// A Deployment that is gone leaves what its ReplicaSet wants.
		if deployment, err := s.read("apps/v1/deployments", of, nil); err != nil || deployment != nil {
			return deployment, err
		}
		return found, nil
	}
	return s.byScale(ref)
}

// byScale is what an owner of any other kind wants, if its kind has a scale.
func (s *scales) byScale(ref *metav1.OwnerReference) (*scale, error) {
	found, err := s.c.GetScale(client.ByKind(ref.APIVersion, ref.Kind), s.namespace, ref.Name)
	switch {
	case client.IsNotFound(err):
		return nil, nil
	case client.IsUnsupported(err):
		return nil, s.withoutScale(ref, err)
	case err != nil:
		return nil, fmt.Errorf("scale of %s %s: %w", ref.Kind, ref.Name, err)
	case found.UID != ref.UID:
		return nil, nil
	}
	return &scale{found.UID, found.Spec.Replicas}, nil
}

// withoutScale says it in upstream's words, if the kind is known.
func (s *scales) withoutScale(ref *metav1.OwnerReference, err error) error {
	resource, unknown := s.c.ResourceOf(ref.APIVersion, ref.Kind)
	if unknown != nil {
		return fmt.Errorf("scale of %s %s: %w", ref.Kind, ref.Name, err)
	}
	name := resource[strings.LastIndexByte(resource, '/')+1:]
	if group, _, ok := strings.Cut(ref.APIVersion, "/"); ok {
		name += "." + group
	}
	return fmt.Errorf("%s does not implement the scale subresource", name)
}

// read is what a built-in owner wants; nil when the one that ref means is not there. of,
// if it is not nil, is set to who controls it.
func (s *scales) read(resource string, ref *metav1.OwnerReference, of **metav1.OwnerReference) (*scale, error) {
	o := &owner{resource: resource}
	if err := s.c.Get(o, s.namespace, ref.Name); err != nil {
		if client.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	if o.UID != ref.UID {
		return nil, nil
	}
	if of != nil {
		*of = metav1.ControllerOf(o)
	}
	return &scale{o.UID, o.replicas()}, nil
}
