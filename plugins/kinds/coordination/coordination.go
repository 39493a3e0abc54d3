// Package coordination defines the kinds of the API group coordination.k8s.io.
package coordination

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/kubernetes/pkg/apis/coordination"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	coordinationvalidation "k8s.io/kubernetes/pkg/apis/coordination/validation"
	"k8s.io/kubernetes/pkg/features"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: coordinationv1.GroupName, Kind: "Lease", Resource: "leases"}, kind.Rule[coordinationv1.Lease, coordination.Lease]{
			CreateOnUpdate: true,
			Conditional:    true,
			Internal:       dropLease,
			Validate:       coordinationvalidation.ValidateLease,
			ValidateUpdate: coordinationvalidation.ValidateLeaseUpdate,
		}),
	}
}

func dropLease(_ context.Context, l, old *coordination.Lease) {
	if kind.Enabled(features.CoordinatedLeaderElection) {
		return
	}
	if old == nil || old.Spec.Strategy == nil {
		l.Spec.Strategy = nil
	}
	if old == nil || old.Spec.PreferredHolder == nil {
		l.Spec.PreferredHolder = nil
	}
}
