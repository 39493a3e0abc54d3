// Package declaredfeatures refuses a change of a running pod that its node has not
// declared to know how to make (status.declaredFeatures), as upstream's
// NodeDeclaredFeatureValidator admission does: an older node would not notice it.
// What a pod needs of the node that it is scheduled to is the scheduler's to ask.
//
// KEP-5328; the features are those of k8s.io/component-helpers/nodedeclaredfeatures
// that a change of a pod can need.
package declaredfeatures

import (
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "declared-features", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{
			// Nothing else that a node must know how to make can change.
			Match:    []admission.MatchRule{{Operations: []admission.Operation{admission.Update}, Resources: []string{"v1/pods/resize"}, Present: []string{"spec.nodeName"}}},
			Fields:   []string{"spec.nodeName", "spec.resources", "spec.initContainers.resources", "spec.initContainers.restartPolicy"},
			Validate: validate,
		}, nil
	}})
}

// What a resize may need of a node.
const (
	podLevel       = "InPlacePodLevelResourcesVerticalScaling"
	initContainers = "InPlacePodVerticalScalingInitContainers"
)

// pod is what counts of one.
type pod struct {
	Spec struct {
		Resources      *corev1.ResourceRequirements `json:"resources"` // as a whole
		InitContainers []struct {
			Resources     corev1.ResourceRequirements `json:"resources"`
			RestartPolicy string                      `json:"restartPolicy"`
		} `json:"initContainers"`
	} `json:"spec"`
}

// node is what counts of a Node.
type node struct {
	Status struct {
		DeclaredFeatures []string `json:"declaredFeatures"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return "v1/nodes" }

func validate(r *admission.Review) error {
	var was, now pod
	if err := r.Old.Decode(&was); err != nil {
		return err
	}
	if err := r.Object.Decode(&now); err != nil {
		return err
	}
	needed := needs(&was, &now)
	if len(needed) == 0 {
		return nil
	}
	name := r.Object.Get("spec.nodeName").String()
	var n node
	switch err := r.Reader.Get(&n, "", name); {
	case client.IsNotFound(err):
		return r.Forbid("node %q not found", name)
	case err != nil:
		return err
	}
	missing := slices.DeleteFunc(needed, func(f string) bool { return slices.Contains(n.Status.DeclaredFeatures, f) })
	if len(missing) > 0 {
		return r.Forbid("pod update requires features %s which are not available on node %q", strings.Join(missing, ", "), name)
	}
	return nil
}

// needs are the features that the change needs, in order.
func needs(was, now *pod) (out []string) {
	if !equalOptional(was.Spec.Resources, now.Spec.Resources) {
		out = append(out, podLevel)
	}
	for i := range was.Spec.InitContainers {
		c := &was.Spec.InitContainers[i]
		if c.RestartPolicy == "Always" || i >= len(now.Spec.InitContainers) {
			continue
		}
		if !equal(&c.Resources, &now.Spec.InitContainers[i].Resources) {
			return append(out, initContainers)
		}
	}
	return out
}

func equalOptional(a, b *corev1.ResourceRequirements) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equal(a, b)
}

func equal(a, b *corev1.ResourceRequirements) bool {
	return equalLists(a.Requests, b.Requests) && equalLists(a.Limits, b.Limits)
}

func equalLists(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		if other, ok := b[name]; !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}
