// Package nodettl tells nodes, by an annotation, for how many seconds they may keep
// ConfigMaps and Secrets before they ask for them again: the longer, the more nodes
// there are. Our node agents are told of changes and need it not; kubelets do.
package nodettl

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	nodes      = "v1/nodes"
	annotation = "node.alpha.kubernetes.io/ttl"

	// atOnce is how many nodes are written before other work has its turn.
	atOnce = 200
)

func init() {
	sdk.Register(sdk.Plugin{Name: "node-ttl", New: func([]byte) (sdk.Points, error) {
		// The size of the cluster is about all nodes.
		all := func(sdk.Value) []controller.Request { return []controller.Request{{Name: everyone}} }
		none := []string{"metadata.name"}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: nodes, Map: controller.Added(all), Fields: none},
				{Resource: nodes, Map: controller.Deleted(all), Fields: none},
				{Resource: nodes, Map: controller.Changed(lost, "metadata.annotations"), Fields: []string{"metadata.annotations"}},
			},
			Implements: []string{},
			Reconcile:  reconcile,
		}, nil
	}})
}

// everyone, in place of a name, asks for all nodes.
const everyone = "*"

// lost asks for all nodes when one has no sensible value.
func lost(o sdk.Value) []controller.Request {
	if known(o.Get("metadata.annotations").Key(annotation).String()) {
		return nil
	}
	return []controller.Request{{Name: everyone}}
}

// node is what counts of a Node.
type node struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return nodes }

func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	var all []*node
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	have := map[string]int{}
	for _, n := range all {
		have[n.Metadata.Annotations[annotation]]++
	}
	want := desired(have, len(all))
	written := 0
	for _, n := range all {
		if n.Metadata.Annotations[annotation] == want {
			continue
		}
		if written++; written > atOnce {
			return controller.Result{Enqueue: []controller.Request{q}}, nil
		}
		target := &node{}
		target.Metadata.Name = n.Metadata.Name
		err := c.Patch(target, client.Patch{Data: map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: want}}}})
		if err != nil && !client.IsNotFound(err) {
			return controller.Result{}, err
		}
	}
	return controller.Result{}, nil
}
