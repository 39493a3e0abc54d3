package nodelifecycle

import (
	"fmt"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// unready takes the pods of a lost node out of their Services: nobody else
// can say that they no longer answer.
func unready(c client.Client, node *nodeState, now time.Time) error {
	pods, err := podsOn(c, node.Name)
	if err != nil {
		return err
	}
	var ops []client.Op
	for _, p := range pods {
		if p.Ready() {
			ops = append(ops, client.Op{Verb: client.VerbUpdate, Subresource: "status", Object: notReady(p, now)})
		}
	}
	written, err := batch(c, ops, "mark pods of node "+node.Name)
	for _, op := range written {
		c.Event(op.Object, client.Note{Warning: true, Reason: "NodeNotReady", Message: "Node is not ready"})
	}
	return err
}

func podsOn(c client.Client, node string) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	err := c.List(&pods, client.ListOptions{Fields: "spec.nodeName=" + node})
	return pods, err
}

// batch writes, and answers what was written. That an object is gone or has changed is no
// error: its change wakes the controller.
func batch(c client.Client, ops []client.Op, what string) (written []client.Op, failed error) {
	if len(ops) == 0 {
		return nil, nil
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return nil, err
	}
	for i, err := range errs {
		switch {
		case err == nil:
			written = append(written, ops[i])
		case !client.IsNotFound(err) && !client.IsConflict(err) && failed == nil:
			failed = fmt.Errorf("%s: %w", what, err)
		}
	}
	return written, failed
}
