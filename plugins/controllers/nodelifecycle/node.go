package nodelifecycle

import (
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// nodeState is what the controller looks at in a node. It is read at every
// sign of life of every node, so it holds nothing else; what is written of it
// is patched.
type nodeState struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Taints        []corev1.Taint `json:"taints,omitempty"`
		Unschedulable bool           `json:"unschedulable,omitempty"`
	} `json:"spec"`
	Status struct {
		Conditions []corev1.NodeCondition `json:"conditions,omitempty"`
	} `json:"status"`
}

// APIResource makes a nodeState a client.Object.
func (*nodeState) APIResource() string { return "v1/nodes" }
