// Package disruption keeps the status of PodDisruptionBudgets, which evictions ask:
// how many pods a budget needs and has, and how many may go. It also takes back the
// condition DisruptionTarget of pods that were said to go and did not.
//
// What an eviction writes in a budget (one disruption less, and the pod that goes) is
// written in the transaction that deletes the pod. This controller counts anew, and
// writes only on what it has read: a count that an eviction has overtaken is refused.
//
// Behaviour, reasons and texts are those of upstream's disruption controller.
package disruption

import (
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk"
	policyv1 "github.com/pintle-io/pintle/sdk/api/policy/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const budgets = "policy/v1/poddisruptionbudgets"

func init() {
	sdk.Register(sdk.Plugin{Name: "disruption", New: func([]byte) (sdk.Points, error) {
		k := &keeper{}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: budgets},
				{Resource: "v1/pods", Map: controller.Labels()},
				{Resource: "v1/pods", Map: controller.UnlabelledInNamespace()},
				{Resource: "v1/pods", Map: controller.Condition(target, disruptionTarget), Fields: []string{"metadata.namespace", "metadata.name"}},
			},
			Workers: 2,
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				k.now = c.Now
				return k.reconcile(c, q)
			},
		}, nil
	}})
}

type keeper struct{ now func() time.Time }

// reconcile serves four sorts of requests: labels and a namespace stand for the budgets
// that select such pods, a name that no budget can have for a pod.
func (k *keeper) reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	switch {
	case q.Labels != "":
		return selecting(c, q.Namespace, q.Labels.Map())
	case q.Namespace == "":
		return selecting(c, q.Name, nil)
	}
	if name, ok := targeted(q); ok {
		return k.unmark(c, q.Namespace, name)
	}
	return k.count(c, q)
}

// selecting requests the budgets of a namespace that select pods with these labels.
func selecting(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var all []*selector
	if err := c.List(&all, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var out []controller.Request
	for _, b := range all {
		if b.Spec.Selector.Matches(labels) {
			out = append(out, controller.Request{Namespace: namespace, Name: b.Metadata.Name})
		}
	}
	return controller.Result{Enqueue: out}, nil
}

// again is when a budget that could not be counted is looked at, if nothing happens
// before: its pods' owner may have come.
const again = time.Minute

// count brings the status of a budget up to date.
func (k *keeper) count(c client.Client, q controller.Request) (controller.Result, error) {
	b := &policyv1.PodDisruptionBudget{}
	if err := c.Get(b, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	now := k.now()
	next, recheck, uncounted := k.look(c, b, now)
	if uncounted != nil {
		// No count is better than a wrong one: nothing is evicted meanwhile.
		next, recheck = failed(b.Status, uncounted, now), again
		if !client.IsUnavailable(uncounted) {
			uncounted = nil // the same a moment later
		}
	}
	if same(b.Status, next) {
		return controller.Result{RequeueAfter: recheck}, uncounted
	}
	b.Status = next
	if err := c.UpdateStatus(b); err != nil && !client.IsNotFound(err) {
		return controller.Result{}, fmt.Errorf("status of budget %s: %w", b.Name, err)
	}
	return controller.Result{RequeueAfter: recheck}, uncounted
}

// look counts the pods of a budget.
func (k *keeper) look(c client.Client, b *policyv1.PodDisruptionBudget, now time.Time) (policyv1.PodDisruptionBudgetStatus, time.Duration, error) {
	none := policyv1.PodDisruptionBudgetStatus{}
	pods, err := podsOf(c, b)
	if err != nil {
		c.Event(b, client.Note{Warning: true, Reason: "NoPods", Message: fmt.Sprintf("Failed to get pods: %v", err)})
		return none, 0, err
	}
	if len(pods) == 0 {
		c.Event(b, client.Note{Reason: "NoPods", Message: "No matching pods found"})
	}
	expected := int64(len(pods))
	if byScale(&b.Spec) {
		s := &scales{c: c, namespace: b.Namespace}
		var unmanaged int
		if expected, unmanaged, err = s.sum(pods); err != nil {
			c.Event(b, client.Note{Warning: true, Reason: "CalculateExpectedPodCountFailed", Message: fmt.Sprintf("Failed to calculate the number of expected pods: %v", err)})
			return none, 0, err
		}
		if unmanaged > 0 {
			c.Event(b, client.Note{Warning: true, Reason: "UnmanagedPods", Message: fmt.Sprintf("Pods selected by this PodDisruptionBudget (selector: %s) were found to be unmanaged. "+
				"As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
				`To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`, b.Spec.Selector)})
		}
	}
	desired, err := desiredHealthy(&b.Spec, expected)
	if err != nil {
		return none, 0, err
	}
	d := disrupted(b.Status.DisruptedPods, pods, now)
	for _, p := range d.overdue {
		c.Event(p, client.Note{Warning: true, Reason: "NotDeleted", Message: fmt.Sprintf("Pod was expected by PDB %s/%s to be deleted but it wasn't", b.Namespace, b.Name)})
	}
	return counted(b, count{expected: clamp(expected), desired: desired, healthy: healthy(pods, d.pods), disrupted: d.pods}, now), d.recheck, nil
}

// podsOf are the pods that a budget selects: an empty selector all of the namespace, none
// of them no selector.
func podsOf(c client.Client, b *policyv1.PodDisruptionBudget) ([]*pod, error) {
	if b.Spec.Selector == nil {
		return nil, nil
	}
	var pods []*pod
	err := c.List(&pods, client.ListOptions{Namespace: b.Namespace, Labels: b.Spec.Selector.String()})
	return pods, err
}
