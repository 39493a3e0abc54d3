package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/cri"
)

// askAgain bounds a look at the node in the API, in the middle of a decision.
const askAgain = 5 * time.Second

// admit makes the decision about a pod from what the machine, its runtime and
// the API's node object say.
func (p *parts) admit(features cri.Features) func(ctx context.Context, pod *corev1.Pod, others []*corev1.Pod) *admit.Refusal {
	node := admit.Node{Allocatable: p.about.Allocatable, AppArmor: admit.AppArmor("/sys"),
		StrictGroups: features.StrictGroups, Sysctls: p.agent.cfg.Sysctls}
	return func(ctx context.Context, pod *corev1.Pod, others []*corev1.Pod) *admit.Refusal {
		node := node
		object := p.self()
		if object == nil {
			object = p.ask(ctx) // somebody has just deleted it
		}
		if object == nil {
			return &admit.Refusal{Reason: "InvalidNodeInfo", Message: "Kubelet cannot get node info."}
		}
		node.Object = object
		refusal := admit.Check(pod, others, &node)
		if refusal == nil || !refusal.Stale {
			return refusal
		}
		// A pod may come sooner than the change of the node that it was made for.
		if node.Object = p.ask(ctx); node.Object == nil {
			return refusal
		}
		return admit.Check(pod, others, &node)
	}
}

// self is this node as the API has shown it last; nil: it is not known.
func (p *parts) self() *corev1.Node {
	o, ok, err := p.agent.informers.Nodes().GetStore().GetByKey(p.agent.cfg.Name)
	if err != nil || !ok {
		return nil
	}
	return o.(*corev1.Node)
}

// ask gets the node from the API; nil when it cannot be had.
func (p *parts) ask(ctx context.Context) *corev1.Node {
	ctx, cancel := context.WithTimeout(ctx, askAgain)
	defer cancel()
	n, err := p.agent.client.CoreV1().Nodes().Get(ctx, p.agent.cfg.Name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return n
}

// recursiveReadOnly tells whether the runtime that a pod asks for can make
// everything below a mount read-only.
func (p *parts) recursiveReadOnly(features cri.Features) func(context.Context, *corev1.Pod) (bool, error) {
	return func(ctx context.Context, pod *corev1.Pod) (bool, error) {
		name := pod.Spec.RuntimeClassName
		if name == nil || *name == "" {
			return features.Handlers[""].RecursiveReadOnly, nil
		}
		class, err := p.agent.client.NodeV1().RuntimeClasses().Get(ctx, *name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("runtime class: %w", err)
		}
		return features.Handlers[class.Handler].RecursiveReadOnly, nil
	}
}
