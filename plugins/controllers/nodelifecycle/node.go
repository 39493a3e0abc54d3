package nodelifecycle

import (
	"fmt"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
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

// graceOf is how long a node may be silent.
func (k *keeper) graceOf(node *nodeState) time.Duration {
	if readyOf(node) == nil {
		return k.startup
	}
	return k.grace
}

// registered says that the controller looks after a node from now on.
func registered(c client.Client, node *nodeState) {
	c.Event(node, client.Note{Reason: "RegisteredNode", Message: fmt.Sprintf("Node %s event: Registered Node %s in Controller", node.Name, node.Name)})
}

// removed forgets a node that is not there, and says so.
func (k *keeper) removed(c client.Client, name string) {
	s, ok := k.seen[name]
	if !ok {
		return
	}
	node := &nodeState{}
	node.Name, node.UID = name, s.uid
	c.Event(node, client.Note{Reason: "RemovingNode", Message: fmt.Sprintf("Node %s event: Removing Node %s from Controller", name, name)})
	delete(k.seen, name)
	delete(k.waiting, name)
}
