// Package podtopologylabels gives pods the zone and the region of their node as
// labels, as upstream's PodTopologyLabels admission does: what runs in the pod
// learns them by the downward API and needs no right to read nodes. A Binding gets
// them, and hands them on to the pod; so does a pod that is created with its node.
// They replace what the pod says of itself. A node that does not exist, or is in no
// zone, adds nothing.
//
// KEP-4742.
package podtopologylabels

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/client"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "pod-topology-labels", New: func([]byte) (sdk.Points, error) {
		rule := func(resource, present string) admission.MatchRule {
			return admission.MatchRule{Operations: []admission.Operation{admission.Create}, Resources: []string{resource}, Present: []string{present}}
		}
		return &admission.Points{
			Match:  []admission.MatchRule{rule("v1/pods/binding", "target.name"), rule("v1/pods", "spec.nodeName")},
			Fields: []string{"target.kind", "target.name", "spec.nodeName"},
			Mutate: mutate,
		}, nil
	}})
}

// copied are the labels that pods get.
var copied = []string{"topology.kubernetes.io/region", "topology.kubernetes.io/zone"}

// node is what counts of a Node.
type node struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return "v1/nodes" }

// nodeOf is the node that the request gives a pod; "" for none.
func nodeOf(r *admission.Review) string {
	if r.Subresource == "" {
		return r.Object.Get("spec.nodeName").String()
	}
	if r.Object.Get("target.kind").String() != "Node" {
		return ""
	}
	return r.Object.Get("target.name").String()
}

func mutate(r *admission.Review) error {
	name := nodeOf(r)
	if name == "" {
		return nil
	}
	var n node
	if err := r.Reader.Get(&n, "", name); err != nil {
		if client.IsNotFound(err) {
			return nil
		}
		return err
	}
	for _, key := range copied {
		if v, ok := n.Metadata.Labels[key]; ok {
			if err := r.Set("metadata.labels["+key+"]", v); err != nil {
				return err
			}
		}
	}
	return nil
}
