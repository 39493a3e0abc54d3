// Package flowcontrol defines the kinds of the API group flowcontrol.apiserver.k8s.io.
package flowcontrol

import (
	"context"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/flowcontrol"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	flowcontrolvalidation "k8s.io/kubernetes/pkg/apis/flowcontrol/validation"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: flowcontrolv1.GroupName, Kind: "FlowSchema", Resource: "flowschemas", NeedsImplementer: true, Cluster: true}, kind.Rule[flowcontrolv1.FlowSchema, flowcontrol.FlowSchema]{
			Status:     kind.HasStatus,
			Generation: kind.BySpec,
			Validate:   flowcontrolvalidation.ValidateFlowSchema,
			ValidateUpdate: func(s, old *flowcontrol.FlowSchema) field.ErrorList {
				return flowcontrolvalidation.ValidateFlowSchemaUpdate(old, s)
			},
			StatusUpdate: func(_ context.Context, s, old *flowcontrolv1.FlowSchema) {
				managed := s.ManagedFields
				s.ObjectMeta = old.ObjectMeta
				s.ManagedFields = managed
			},
			StatusResets: []fieldpath.Path{kind.Path("metadata")},
			ValidateStatus: func(s, old *flowcontrol.FlowSchema) field.ErrorList {
				return flowcontrolvalidation.ValidateFlowSchemaStatusUpdate(old, s)
			},
		}),
		kind.Define(kind.Names{Group: flowcontrolv1.GroupName, Kind: "PriorityLevelConfiguration", Resource: "prioritylevelconfigurations", NeedsImplementer: true, Cluster: true}, kind.Rule[flowcontrolv1.PriorityLevelConfiguration, flowcontrol.PriorityLevelConfiguration]{
			Status:     kind.HasStatus,
			Generation: kind.BySpec,
			Validate: func(p *flowcontrol.PriorityLevelConfiguration) field.ErrorList {
				return flowcontrolvalidation.ValidatePriorityLevelConfiguration(p, flowcontrolv1.SchemeGroupVersion, flowcontrolvalidation.PriorityLevelValidationOptions{})
			},
			StatusUpdate: func(_ context.Context, p, old *flowcontrolv1.PriorityLevelConfiguration) {
				managed := p.ManagedFields
				p.ObjectMeta = old.ObjectMeta
				p.ManagedFields = managed
			},
			StatusResets: []fieldpath.Path{kind.Path("metadata")},
			ValidateStatus: func(p, old *flowcontrol.PriorityLevelConfiguration) field.ErrorList {
				return flowcontrolvalidation.ValidatePriorityLevelConfigurationStatusUpdate(old, p)
			},
		}),
	}
}
