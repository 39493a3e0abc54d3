package nodelifecycle

import (
	"errors"
	"fmt"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// outOfService is the taint by which an admin says that a node is off for good,
// so that nothing of its pods can still run.
const outOfService = "node.kubernetes.io/out-of-service"

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
// Job's failure policy, for example, must find the reason on each. grace is
// that of the deletion, nil the pod's own. Pods that changed meanwhile are left
// to the next look, which the error asks for; the others are returned.
func disrupt(c client.Client, pods []*corev1.Pod, grace *int64, mark func(*corev1.Pod)) (marked []*corev1.Pod, err error) {
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
			deletes = append(deletes, client.Op{Verb: client.VerbDelete, Object: pods[i], Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(pods[i].UID), GracePeriodSeconds: grace}})
		case !client.IsNotFound(err):
			failed = fmt.Errorf("mark pod %s/%s: %w", pods[i].Namespace, pods[i].Name, err)
		}
	}
	return marked, errors.Join(batch(c, deletes, "delete pods"), failed)
}

// collect removes pods that no agent will ever report the end of: they count
// as failed, unless they had come to their end.
func collect(c client.Client, pods []*corev1.Pod, why string, now time.Time) error {
	none := int64(0)
	_, err := disrupt(c, pods, &none, func(p *corev1.Pod) {
		if p.Finished() {
			return
		}
		p.Status.Phase = corev1.PodFailed
		p.Status.ObservedGeneration = p.Generation
		if why != "" {
			disruption(p, "DeletionByPodGC", why, now)
		}
	})
	return err
}

// recheck is how often pods of a node out of service are looked at: their
// deletion does not wake the controller.
const recheck = 5 * time.Second

// abandon removes the pods that are being deleted on a node that is not ready
// and out of service, and answers when to look again.
func abandon(c client.Client, node *nodeState, now time.Time) (time.Duration, error) {
	if r := readyOf(node); r != nil && r.Status == corev1.ConditionTrue || !hasTaint(node, outOfService) {
		return 0, nil
	}
	pods, err := podsOn(c, node.Name)
	if err != nil || len(pods) == 0 {
		return 0, err
	}
	var going []*corev1.Pod
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			going = append(going, p)
		}
	}
	return recheck, collect(c, going, "", now)
}

func hasTaint(node *nodeState, key string) bool {
	for _, t := range node.Spec.Taints {
		if t.Key == key {
			return true
		}
	}
	return false
}

// forget removes the pods of a node that does not exist, and has not for the
// grace time: a node that registers anew keeps its pods.
func (k *keeper) forget(c client.Client, name string) (controller.Result, error) {
	pods, err := podsOn(c, name)
	if err != nil || len(pods) == 0 {
		delete(k.missing, name)
		return controller.Result{}, err
	}
	since, ok := k.missing[name]
	if !ok {
		since = k.now()
		k.missing[name] = since
	}
	if left := k.grace - k.now().Sub(since); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	return controller.Result{}, collect(c, pods, "PodGC: node no longer exists", k.now())
}
