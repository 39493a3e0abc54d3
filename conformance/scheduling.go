package conformance

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var schedulingCases = []Case{
	{Name: "scheduling/unschedulable", Stands: "SchedulerPredicates validates that NodeSelector is respected if not matching", Run: schedulingNowhere},
	{Name: "scheduling/binding", Stands: "Pods: binding subresource", Run: schedulingBinding},
	{Name: "scheduling/gates", Stands: "Pod scheduling readiness", Run: schedulingGates},
	{Name: "scheduling/placed", Stands: "SchedulerPredicates validates that NodeSelector is respected if matching", Nodes: true, Run: schedulingPlaced},
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func schedulingNowhere(ctx context.Context, e *Env) error {
	p := pod("a", nil)
	p.Spec.SchedulerName = ""
	p.Spec.NodeSelector = map[string]string{"conformance.example.com/none": e.Namespace}
	c := e.Client.CoreV1().Pods(e.Namespace)
	if _, err := c.Create(ctx, p, create); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		p, err := c.Get(ctx, "a", get)
		if err != nil {
			return err
		}
		x := condition(p, corev1.PodScheduled)
		if x.Message == "" {
			return errors.New("the condition PodScheduled has no message")
		}
		return errors.Join(same("PodScheduled", x.Status, corev1.ConditionFalse), same("its reason", x.Reason, corev1.PodReasonUnschedulable), same("node", p.Spec.NodeName, ""))
	})
}

func schedulingBinding(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Pods(e.Namespace)
	node, done, err := paperNode(ctx, e)
	if err != nil {
		return err
	}
	defer done()
	if _, err := c.Create(ctx, pod("a", nil), create); err != nil {
		return err
	}
	to := func(node string) error {
		return c.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: e.Namespace, Annotations: map[string]string{"by": "suite"}},
			Target: corev1.ObjectReference{Kind: "Node", Name: node}}, create)
	}
	if err := to(node); err != nil {
		return err
	}
	p, err := c.Get(ctx, "a", get)
	if err != nil {
		return err
	}
	direct := p.DeepCopy()
	direct.Spec.NodeName = "other"
	_, moved := c.Update(ctx, direct, update)
	return errors.Join(same("node", p.Spec.NodeName, node), same("annotation of the binding", p.Annotations["by"], "suite"),
		same("PodScheduled", condition(p, corev1.PodScheduled).Status, corev1.ConditionTrue), conflict("a second binding", to("other")), invalid("a change of nodeName", moved))
}

func schedulingGates(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Pods(e.Namespace)
	p := pod("a", nil)
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
	p, err := c.Create(ctx, p, create)
	if err != nil {
		return err
	}
	err = c.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}, create)
	errs := []error{same("reason of PodScheduled", condition(p, corev1.PodScheduled).Reason, corev1.PodReasonSchedulingGated), same("a gated pod cannot be bound", err != nil, true)}
	p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: "example.com/more"})
	_, err = c.Update(ctx, p, update)
	errs = append(errs, invalid("a gate more", err))
	p.Spec.SchedulingGates = nil
	_, err = c.Update(ctx, p, update)
	return errors.Join(append(errs, err)...)
}

func schedulingPlaced(ctx context.Context, e *Env) error {
	nodes, err := e.Client.CoreV1().Nodes().List(ctx, list)
	if err != nil {
		return err
	}
	name := ""
	for _, n := range nodes.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue && !n.Spec.Unschedulable && len(n.Spec.Taints) == 0 {
				name = n.Name
			}
		}
	}
	if name == "" {
		return errors.New("every ready node has a taint")
	}
	p := pod("a", nil)
	p.Spec.SchedulerName = ""
	p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: name}
	c := e.Client.CoreV1().Pods(e.Namespace)
	if _, err := c.Create(ctx, p, create); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		p, err := c.Get(ctx, "a", get)
		if err != nil {
			return err
		}
		if p.Spec.NodeName != name {
			return fmt.Errorf("the pod is on node %q, want %s: %s", p.Spec.NodeName, name, condition(p, corev1.PodScheduled).Message)
		}
		return same("PodScheduled", condition(p, corev1.PodScheduled).Status, corev1.ConditionTrue)
	})
}
