package podgc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// each does something with every pod of a node, and answers what failed of it.
func (k *collector) each(c client.Client, node string, do func(*pod) error) error {
	var pods []*pod
	if err := c.List(&pods, client.ListOptions{Fields: "spec.nodeName=" + node}); err != nil {
		return err
	}
	var failed []error
	for _, p := range pods {
		failed = append(failed, do(p))
	}
	return errors.Join(failed...)
}

// there asks the store for a node.
func there(c client.Client, name string) (bool, error) {
	var nodes []*node
	err := c.List(&nodes, client.ListOptions{Fields: "metadata.name=" + name, Fresh: true})
	return len(nodes) > 0, err
}

// remove deletes a pod that no agent will report the end of. One that has not ended is
// Failed first; why says so in its conditions, unless it is "".
func (k *collector) remove(c client.Client, p *pod, why string) error {
	if !p.finished() {
		marked := *p // the patch answers into it, and p is shared
		err := c.Patch(&marked, client.Patch{Type: client.StrategicPatch, Subresource: "status", Data: failed(p, why, k.now())})
		switch {
		case client.IsNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("mark pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	} else if p.held() {
		return nil
	}
	if err := c.Delete(p, forced(p)); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("delete pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}

func forced(p *pod) client.DeleteOptions {
	none := int64(0)
	return client.DeleteOptions{GracePeriodSeconds: &none, Preconditions: client.NewUIDPreconditions(p.UID)}
}

const (
	// period is the shortest time between two counts of the pods that have ended.
	// Upstream's gcCheckPeriod.
	period = 20 * time.Second
	// chunk is how many pods are deleted before others get their turn.
	chunk = 500
)

// ended deletes the oldest of the pods that have ended when there are more than are kept.
func (k *collector) ended(c client.Client) (controller.Result, error) {
	if k.keep <= 0 {
		return controller.Result{}, nil
	}
	now := k.now()
	if left := period - now.Sub(k.counted); left > 0 && !k.counted.After(now) {
		return controller.Result{RequeueAfter: left}, nil
	}
	k.counted = now
	phases := []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed}
	n := 0
	for _, phase := range phases { // counted where they are, without being handed over
		var first []*ended
		more := 0
		if err := c.List(&first, client.ListOptions{Fields: "status.phase=" + string(phase), Limit: 1, Remaining: &more}); err != nil {
			return controller.Result{}, err
		}
		n += len(first) + more
	}
	if n <= k.keep {
		return controller.Result{}, nil
	}
	var pods []*ended
	for _, phase := range phases {
		var of []*ended
		if err := c.List(&of, client.ListOptions{Fields: "status.phase=" + string(phase)}); err != nil {
			return controller.Result{}, err
		}
		pods = append(pods, of...)
	}
	return k.reduce(c, surplus(pods, k.keep))
}

// reduce deletes pods, as many as are deleted at once. Those that go already are held by
// somebody's finalizers: to delete them again would only keep others from their turn.
func (k *collector) reduce(c client.Client, pods []*ended) (controller.Result, error) {
	res := controller.Result{}
	pods = slices.DeleteFunc(pods, func(p *ended) bool { return p.DeletionTimestamp != nil && len(p.Finalizers) > 0 })
	if len(pods) > chunk {
		pods, res.RequeueAfter, k.counted = pods[:chunk], time.Millisecond, time.Time{}
	}
	if len(pods) == 0 {
		return res, nil
	}
	none := int64(0)
	ops := make([]client.Op, len(pods))
	for i, p := range pods {
		ops[i] = client.Op{Verb: client.VerbDelete, Object: p, Delete: client.DeleteOptions{GracePeriodSeconds: &none, Preconditions: client.NewUIDPreconditions(p.UID)}}
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return controller.Result{}, err
	}
	for i, err := range errs {
		if err != nil && !client.IsNotFound(err) && !client.IsConflict(err) {
			return controller.Result{}, fmt.Errorf("delete pod %s/%s: %w", pods[i].Namespace, pods[i].Name, err)
		}
	}
	return res, nil
}
