package core

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	pdbhelper "k8s.io/component-helpers/apps/poddisruptionbudget"
	podv1util "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

var (
	evictionKind      = policyv1.SchemeGroupVersion.WithKind("Eviction")
	disruptionBudget  = schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudgets"}
	errNegativeBudget = errors.New("pdb disruptions allowed is negative")
	errFullBudget     = errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller")
)

// maxDisruptedPods bounds the evictions of one budget that its controller has
// not seen yet.
const maxDisruptedPods = 2000

// eviction deletes a pod as far as its disruption budget allows. The budget is
// spent in the transaction that deletes the pod: two evictions cannot spend
// the same disruption.
func eviction(clk clock.PassiveClock) resource.Subresource {
	return resource.Subresource{
		Name: "eviction", Style: resource.StyleAction, Verbs: kind.CreateVerbs, Kind: evictionKind,
		Accepts: []schema.GroupVersionKind{policyv1beta1.SchemeGroupVersion.WithKind("Eviction")},
		Action:  func(_ context.Context, obj, body runtime.Object) (runtime.Object, error) { return evict(obj, body) },
		Companions: func(ctx context.Context, r resource.Reader, obj, _ runtime.Object) ([]resource.Companion, error) {
			return spendBudget(ctx, r, kind.Hub[corev1.Pod](obj), metav1.Time{Time: clk.Now()})
		},
	}
}

// evict marks the pod as disrupted and answers how to delete it.
func evict(obj, body runtime.Object) (runtime.Object, error) {
	e, ok := body.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", body))
	}
	p := kind.Hub[corev1.Pod](obj)
	if e.Name != p.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	o := e.DeleteOptions
	if o == nil {
		o = &metav1.DeleteOptions{}
	}
	if ignore := o.IgnoreStoreReadErrorWithClusterBreakingPotential; ignore != nil && *ignore {
		return nil, apierrors.NewInvalid(evictionKind.GroupKind(), p.Name, field.ErrorList{field.Invalid(
			field.NewPath("deleteOptions").Child("ignoreStoreReadErrorWithClusterBreakingPotential"), true, "can not be set for pod eviction, try after removing the option")})
	}
	podv1util.UpdatePodCondition(&p.Status, &corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
	})
	return o, nil
}

func spendBudget(ctx context.Context, r resource.Reader, p *corev1.Pod, now metav1.Time) ([]resource.Companion, error) {
	// A pod that does not run, or goes anyway, disrupts nothing.
	switch {
	case p.DeletionTimestamp != nil, p.Status.Phase == corev1.PodSucceeded, p.Status.Phase == corev1.PodFailed, p.Status.Phase == corev1.PodPending:
		return nil, nil
	}
	budget, err := budgetOf(ctx, r, p)
	if err != nil || budget == nil {
		return nil, err
	}
	if !podv1util.IsPodReady(p) && freeForUnready(budget) {
		return nil, nil
	}
	if err := checkBudget(budget); err != nil {
		return nil, err
	}
	b := budget.DeepCopy()
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		pdbhelper.UpdateDisruptionAllowedCondition(b)
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[p.Name] = now
	return []resource.Companion{{Resource: disruptionBudget, Namespace: b.Namespace, Name: b.Name, Object: b, Update: true}}, nil
}

// budgetOf finds the one budget that selects a pod; nil when there is none.
func budgetOf(ctx context.Context, r resource.Reader, p *corev1.Pod) (*policyv1.PodDisruptionBudget, error) {
	all, err := r.List(ctx, disruptionBudget, p.Namespace)
	if err != nil {
		return nil, err
	}
	var found *policyv1.PodDisruptionBudget
	for _, obj := range all {
		b := kind.Hub[policyv1.PodDisruptionBudget](obj)
		sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !sel.Matches(labels.Set(p.Labels)) {
			continue
		}
		if found != nil {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
				Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
			}}
		}
		found = b
	}
	return found, nil
}

// freeForUnready says whether a pod that is not ready may go without spending.
func freeForUnready(b *policyv1.PodDisruptionBudget) bool {
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

func checkBudget(b *policyv1.PodDisruptionBudget) error {
	refused := func(err *apierrors.StatusError, text string) error {
		err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: text})
		return err
	}
	const violates = "Cannot evict pod as it would violate the pod's disruption budget."
	// Upstream names the resource in the singular here.
	gr := schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudget"}
	switch {
	case b.Status.ObservedGeneration < b.Generation:
		return refused(apierrors.NewTooManyRequests(violates, 10), fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	case b.Status.DisruptionsAllowed < 0:
		return refused(apierrors.NewForbidden(gr, b.Name, errNegativeBudget),
			fmt.Sprintf("The disruption budget %s does not allow evicting pods currently: pdb disruptions allowed is negative", b.Name))
	case len(b.Status.DisruptedPods) > maxDisruptedPods:
		return refused(apierrors.NewForbidden(gr, b.Name, errFullBudget),
			fmt.Sprintf("The disruption budget %s does not allow evicting pods currently: too many pending evictions not confirmed by PDB controller", b.Name))
	case b.Status.DisruptionsAllowed > 0:
		return nil
	}
	return refused(apierrors.NewTooManyRequests(violates, 0), whyNone(b))
}

// whyNone words why a budget allows no disruption.
func whyNone(b *policyv1.PodDisruptionBudget) string {
	c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	says := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	switch {
	case says && c.Reason == policyv1.SyncFailedReason:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %s", b.Name, c.Message)
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)
	case says:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently (%s): %s", b.Name, c.Reason, c.Message)
	}
	return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", b.Name)
}
