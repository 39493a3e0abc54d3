package resourceclaim

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// ended tells that nothing of the pod runs any more.
func (p *pod) ended() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// done tells that nothing of the pod runs, or ever will.
func (p *pod) done() bool {
	return p.ended() || p.DeletionTimestamp != nil && p.Spec.NodeName == ""
}

// errUnsupported is of a claim that is named in a way of a later version.
var errUnsupported = errors.New("none of the supported fields are set")

// named is what a pod says of one of its claims.
type named struct {
	// name of the claim; "" when it has not been made yet, or need not be.
	name string
	// generated: the claim must be the pod's own, or it is another one of that name.
	generated bool
	// needless: it was decided before that there is to be none.
	needless bool
}

// claimOf tells which claim stands behind one that a pod names.
//
// # Errors
//   - [errUnsupported], in upstream's words
func claimOf(p *pod, pc *podClaim) (named, error) {
	switch {
	case pc.ClaimName != nil:
		return named{name: *pc.ClaimName}, nil
	case pc.TemplateName == nil:
		return named{}, fmt.Errorf("pod \"%s/%s\", spec.resourceClaim %q: %w", p.Namespace, p.Name, pc.Name, errUnsupported)
	}
	for _, s := range p.Status.Claims {
		if s.Name == pc.Name {
			if s.ClaimName == nil {
				return named{needless: true}, nil
			}
			return named{name: *s.ClaimName, generated: true}, nil
		}
	}
	return named{generated: true}, nil
}

// isFor tells, in upstream's words, why a claim is not the one that was made for the
// pod; nil if it is.
func isFor(p *pod, c *claim) error {
	if c.Namespace != p.Namespace || !metav1.IsControlledBy(c, p) {
		return fmt.Errorf("ResourceClaim %s/%s was not created for Pod %s/%s (Pod is not owner)", c.Namespace, c.Name, p.Namespace, p.Name)
	}
	return nil
}

// madeFor finds, among the claims that the pod owns, the one that was made for one of
// those that it names: the controller may have ended before it could say so. One that is
// being deleted counts: until it is gone there is no other.
func madeFor(owned []*claim, podClaim string) *claim {
	for _, c := range owned {
		if of, ok := c.Annotations[annotation]; ok && of == podClaim {
			return c
		}
	}
	return nil
}

// maxBase leaves room, in a name of 63 characters, for the five that the server adds.
const maxBase = 57

// generateName begins the names of claims; of long names both parts are cut, in
// proportion, so that something of each is left.
func generateName(pod, podClaim string) string {
	name := pod + "-" + podClaim + "-"
	if n := len(name); n > maxBase {
		name = pod[:len(pod)*maxBase/n] + "-" + podClaim[:len(podClaim)*maxBase/n]
	}
	return name
}

// claimFor makes the claim of a pod from a template.
func claimFor(p *pod, podClaim string, t *template) *newClaim {
	yes := true
	c := &newClaim{Spec: t.Spec.Spec}
	c.Namespace, c.GenerateName, c.Labels = p.Namespace, generateName(p.Name, podClaim), t.Spec.Metadata.Labels
	c.Annotations = maps.Clone(t.Spec.Metadata.Annotations)
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[annotation] = podClaim
	c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID, Controller: &yes}}
	return c
}

// statusesWith are the statuses of a pod's claims with those that were made now, by the
// names in the pod, in their order. Those without a name stay as they are.
func statusesWith(p *pod, made map[string]string) []claimStatus {
	all := map[string]string{}
	for _, s := range p.Status.Claims {
		if s.ClaimName != nil {
			all[s.Name] = *s.ClaimName
		}
	}
	maps.Copy(all, made)
	var out []claimStatus
	for _, name := range slices.Sorted(maps.Keys(all)) {
		of := all[name]
		out = append(out, claimStatus{Name: name, ClaimName: &of})
	}
	for _, s := range p.Status.Claims {
		if _, ok := all[s.Name]; !ok {
			out = append(out, s)
		}
	}
	return out
}

// reservable tells that a pod which has a node, and was given it by somebody else than
// the scheduler, is still to be named among those that use the claim.
func reservable(p *pod, c *claim) bool {
	return c.Status.Allocation != nil && !slices.ContainsFunc(c.Status.ReservedFor, func(r consumer) bool { return r.UID == p.UID })
}

// waitsFor tells that the pod names the template, and has no claim from it yet.
func waitsFor(p *pod, template string) bool {
	return slices.ContainsFunc(p.Spec.Claims, func(pc podClaim) bool {
		if pc.TemplateName == nil || *pc.TemplateName != template {
			return false
		}
		has, err := claimOf(p, &pc)
		return err == nil && has.name == "" && !has.needless
	})
}

// uses tells that the pod has a node and names the claim, by its own name.
func uses(p *pod, claim string) bool {
	return p.Spec.NodeName != "" && slices.ContainsFunc(p.Spec.Claims, func(pc podClaim) bool {
		return pc.ClaimName != nil && *pc.ClaimName == claim
	})
}
