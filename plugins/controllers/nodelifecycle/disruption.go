package nodelifecycle

import (
	"errors"
	"fmt"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// disruption says in a pod's status why it is going to be deleted.
func disruption(p *corev1.Pod, reason, message string, now time.Time) {
	c := p.Condition(corev1.DisruptionTarget)
	if c == nil {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget})
		c = &p.Status.Conditions[len(p.Status.Conditions)-1]
	}
	if c.Status != corev1.ConditionTrue {
		c.LastTransitionTime = metav1.NewTime(now)
	}
	c.Status, c.Reason, c.Message, c.ObservedGeneration = corev1.ConditionTrue, reason, message, p.Generation
}

// disrupt marks pods as the caller does and deletes those that were marked: a
// Job's failure policy, for example, must find the reason on each. Pods that changed meanwhile are left
// to the next look, which the error asks for; the others are returned.
func disrupt(c client.Client, pods []*corev1.Pod, mark func(*corev1.Pod)) (marked []*corev1.Pod, err error) {
	if len(pods) == 0 {
		return nil, nil
	}
	marks := make([]client.Op, len(pods))
	for i, p := range pods {
		p = client.Clone(p)
		mark(p)
		marks[i] = client.Op{Verb: client.VerbUpdate, Subresource: "status", Object: p, Brief: true}
	}
	errs, err := c.Batch(marks, false)
	if err != nil {
		return nil, err
	}
	var deletes []client.Op
	var failed error
	for i, err := range errs {
		switch {
		case err == nil:
			marked = append(marked, pods[i])
			deletes = append(deletes, client.Op{Verb: client.VerbDelete, Object: pods[i], Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(pods[i].UID)}})
		case !client.IsNotFound(err):
			failed = fmt.Errorf("mark pod %s/%s: %w", pods[i].Namespace, pods[i].Name, err)
		}
	}
	_, err = batch(c, deletes, "delete pods")
	return marked, errors.Join(err, failed)
}
