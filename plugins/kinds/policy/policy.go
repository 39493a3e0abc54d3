// Package policy defines the kinds of the API group policy.
package policy

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: policyv1.GroupName, Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets", NeedsImplementer: true, Short: []string{"pdb"}}, disruptionBudgets()),
	}
}

func disruptionBudgets() kind.Rule[policyv1.PodDisruptionBudget, policy.PodDisruptionBudget] {
	return kind.Rule[policyv1.PodDisruptionBudget, policy.PodDisruptionBudget]{
		Status:      kind.HasStatus,
		Generation:  kind.BySpec,
		Conditional: true,
		// Conversion marks selectors of v1beta1 meaning; a selector of a client
		// loses the mark.
		Internal: func(_ context.Context, p, old *policy.PodDisruptionBudget) {
			sel := p.Spec.Selector
			if old != nil && equality.Semantic.DeepEqual(old.Spec.Selector, sel) ||
				equality.Semantic.DeepEqual(sel, policy.NonV1beta1MatchNoneSelector) ||
				equality.Semantic.DeepEqual(sel, policy.NonV1beta1MatchAllSelector) {
				return
			}
			policy.StripPDBV1beta1Label(sel)
		},
		Validate: func(p *policy.PodDisruptionBudget) field.ErrorList {
			return policyvalidation.ValidatePodDisruptionBudget(p, policyvalidation.PodDisruptionBudgetValidationOptions{})
		},
		ValidateUpdate: func(p, old *policy.PodDisruptionBudget) field.ErrorList {
			return policyvalidation.ValidatePodDisruptionBudget(p, policyvalidation.PodDisruptionBudgetValidationOptions{
				AllowInvalidLabelValueInSelector: old.Spec.Selector != nil && kind.InvalidSelector(*old.Spec.Selector),
			})
		},
		ValidateStatus: func(p, old *policy.PodDisruptionBudget) field.ErrorList {
			return policyvalidation.ValidatePodDisruptionBudgetStatusUpdate(p.Status, old.Status, field.NewPath("status"), policyv1.SchemeGroupVersion)
		},
	}
}
