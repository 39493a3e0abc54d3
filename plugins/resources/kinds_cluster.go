package resources

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	migrationv1beta1 "k8s.io/api/storagemigration/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	nodeutil "k8s.io/kubernetes/pkg/api/node"
	"k8s.io/kubernetes/pkg/apis/coordination"
	coordinationvalidation "k8s.io/kubernetes/pkg/apis/coordination/validation"
	"k8s.io/kubernetes/pkg/apis/flowcontrol"
	flowcontrolvalidation "k8s.io/kubernetes/pkg/apis/flowcontrol/validation"
	"k8s.io/kubernetes/pkg/apis/node"
	nodevalidation "k8s.io/kubernetes/pkg/apis/node/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/apis/scheduling"
	schedulingvalidation "k8s.io/kubernetes/pkg/apis/scheduling/validation"
	"k8s.io/kubernetes/pkg/apis/storagemigration"
	migrationvalidation "k8s.io/kubernetes/pkg/apis/storagemigration/validation"
	"k8s.io/kubernetes/pkg/features"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

func clusterKinds(opts Options) []*resource.Definition {
	return append(certificateKinds(opts), []*resource.Definition{
		define(names{group: policyv1.GroupName, kind: "PodDisruptionBudget", resource: "poddisruptionbudgets", short: []string{"pdb"}}, disruptionBudgets()),
		define(names{group: schedulingv1.GroupName, kind: "PriorityClass", resource: "priorityclasses", short: []string{"pc"}, cluster: true}, rule[schedulingv1.PriorityClass, scheduling.PriorityClass]{
			generation:     fixedAtOne,
			validate:       schedulingvalidation.ValidatePriorityClass,
			validateUpdate: schedulingvalidation.ValidatePriorityClassUpdate,
		}),
		define(names{group: coordinationv1.GroupName, kind: "Lease", resource: "leases"}, rule[coordinationv1.Lease, coordination.Lease]{
			createOnUpdate: true,
			conditional:    true,
			internal:       dropLease,
			validate:       coordinationvalidation.ValidateLease,
			validateUpdate: coordinationvalidation.ValidateLeaseUpdate,
		}),
		define(names{group: nodev1.GroupName, kind: "RuntimeClass", resource: "runtimeclasses", cluster: true}, rule[nodev1.RuntimeClass, node.RuntimeClass]{
			createOnUpdate: true,
			conditional:    true,
			validate:       nodevalidation.ValidateRuntimeClass,
			validateUpdate: both(nodevalidation.ValidateRuntimeClass, nodevalidation.ValidateRuntimeClassUpdate),
			declare: func(_, _ *node.RuntimeClass) declaration {
				return declaration{rules: nodevalidation.NodeNormalizationRules}
			},
			warn: func(_ context.Context, c, _ *node.RuntimeClass) []string {
				return nodeutil.GetWarningsForRuntimeClass(c)
			},
		}),
		define(names{group: flowcontrolv1.GroupName, kind: "FlowSchema", resource: "flowschemas", cluster: true}, rule[flowcontrolv1.FlowSchema, flowcontrol.FlowSchema]{
			status:     hasStatus,
			generation: bySpec,
			validate:   flowcontrolvalidation.ValidateFlowSchema,
			validateUpdate: func(s, old *flowcontrol.FlowSchema) field.ErrorList {
				return flowcontrolvalidation.ValidateFlowSchemaUpdate(old, s)
			},
			statusUpdate: func(_ context.Context, s, old *flowcontrolv1.FlowSchema) {
				managed := s.ManagedFields
				s.ObjectMeta = old.ObjectMeta
				s.ManagedFields = managed
			},
			statusResets: []fieldpath.Path{path("metadata")},
			validateStatus: func(s, old *flowcontrol.FlowSchema) field.ErrorList {
				return flowcontrolvalidation.ValidateFlowSchemaStatusUpdate(old, s)
			},
		}),
		define(names{group: flowcontrolv1.GroupName, kind: "PriorityLevelConfiguration", resource: "prioritylevelconfigurations", cluster: true}, rule[flowcontrolv1.PriorityLevelConfiguration, flowcontrol.PriorityLevelConfiguration]{
			status:     hasStatus,
			generation: bySpec,
			validate: func(p *flowcontrol.PriorityLevelConfiguration) field.ErrorList {
				return flowcontrolvalidation.ValidatePriorityLevelConfiguration(p, flowcontrolv1.SchemeGroupVersion, flowcontrolvalidation.PriorityLevelValidationOptions{})
			},
			statusUpdate: func(_ context.Context, p, old *flowcontrolv1.PriorityLevelConfiguration) {
				managed := p.ManagedFields
				p.ObjectMeta = old.ObjectMeta
				p.ManagedFields = managed
			},
			statusResets: []fieldpath.Path{path("metadata")},
			validateStatus: func(p, old *flowcontrol.PriorityLevelConfiguration) field.ErrorList {
				return flowcontrolvalidation.ValidatePriorityLevelConfigurationStatusUpdate(old, p)
			},
		}),
		define(names{group: migrationv1beta1.GroupName, kind: "StorageVersionMigration", resource: "storageversionmigrations", cluster: true, storage: "v1beta1"},
			rule[migrationv1beta1.StorageVersionMigration, storagemigration.StorageVersionMigration]{
				status:         hasStatusOnly,
				conditional:    true,
				validate:       migrationvalidation.ValidateStorageVersionMigration,
				validateUpdate: migrationvalidation.ValidateStorageVersionMigrationUpdate,
				validateStatus: migrationvalidation.ValidateStorageVersionMigrationStatusUpdate,
			}),
	}...)
}

func disruptionBudgets() rule[policyv1.PodDisruptionBudget, policy.PodDisruptionBudget] {
	return rule[policyv1.PodDisruptionBudget, policy.PodDisruptionBudget]{
		status:      hasStatus,
		generation:  bySpec,
		conditional: true,
		// Conversion marks selectors of v1beta1 meaning; a selector of a client
		// loses the mark.
		internal: func(_ context.Context, p, old *policy.PodDisruptionBudget) {
			sel := p.Spec.Selector
			if old != nil && equality.Semantic.DeepEqual(old.Spec.Selector, sel) ||
				equality.Semantic.DeepEqual(sel, policy.NonV1beta1MatchNoneSelector) ||
				equality.Semantic.DeepEqual(sel, policy.NonV1beta1MatchAllSelector) {
				return
			}
			policy.StripPDBV1beta1Label(sel)
		},
		validate: func(p *policy.PodDisruptionBudget) field.ErrorList {
			return policyvalidation.ValidatePodDisruptionBudget(p, policyvalidation.PodDisruptionBudgetValidationOptions{})
		},
		validateUpdate: func(p, old *policy.PodDisruptionBudget) field.ErrorList {
			return policyvalidation.ValidatePodDisruptionBudget(p, policyvalidation.PodDisruptionBudgetValidationOptions{
				AllowInvalidLabelValueInSelector: old.Spec.Selector != nil && invalidSelector(*old.Spec.Selector),
			})
		},
		validateStatus: func(p, old *policy.PodDisruptionBudget) field.ErrorList {
			return policyvalidation.ValidatePodDisruptionBudgetStatusUpdate(p.Status, old.Status, field.NewPath("status"), policyv1.SchemeGroupVersion)
		},
	}
}

func dropLease(_ context.Context, l, old *coordination.Lease) {
	if enabled(features.CoordinatedLeaderElection) {
		return
	}
	if old == nil || old.Spec.Strategy == nil {
		l.Spec.Strategy = nil
	}
	if old == nil || old.Spec.PreferredHolder == nil {
		l.Spec.PreferredHolder = nil
	}
}
