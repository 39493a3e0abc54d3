package nodelifecycle

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk/client"
)

// aliases are labels that are to say what their successors say, which older manifests
// select nodes by.
var aliases = []struct{ label, alias string }{
	{"kubernetes.io/os", "beta.kubernetes.io/os"},
	{"kubernetes.io/arch", "beta.kubernetes.io/arch"},
}

// aliased are the labels that a node lacks, or has otherwise than their successors.
func aliased(node *nodeState) map[string]string {
	var out map[string]string
	for _, x := range aliases {
		value, ok := node.Labels[x.label]
		if have, there := node.Labels[x.alias]; !ok || there && have == value {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[x.alias] = value
	}
	return out
}

// label brings the older names of a node's labels in line with the newer.
func label(c client.Client, node *nodeState) error {
	labels := aliased(node)
	if labels == nil {
		return nil
	}
	patch := map[string]any{"metadata": map[string]any{"uid": node.UID, "labels": labels}}
	if err := c.Patch(node, client.Patch{Data: patch}); err != nil {
		return fmt.Errorf("label node %s: %w", node.Name, err)
	}
	return nil
}
