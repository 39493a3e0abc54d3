// Package scheduling defines the kinds of the API group scheduling.k8s.io.
package scheduling

import (
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/apis/scheduling"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	schedulinginternal "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	schedulingvalidation "k8s.io/kubernetes/pkg/apis/scheduling/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	classes := kind.Define(kind.Names{Group: schedulingv1.GroupName, Kind: "PriorityClass", Resource: "priorityclasses", Short: []string{"pc"}, Cluster: true}, kind.Rule[schedulingv1.PriorityClass, scheduling.PriorityClass]{
		Generation:     kind.FixedAtOne,
		Validate:       schedulingvalidation.ValidatePriorityClass,
		ValidateUpdate: schedulingvalidation.ValidatePriorityClassUpdate,
	})
	classes.Initial = systemClasses
	return []*resource.Definition{classes}
}

// systemClasses are those that the cluster's own pods name.
func systemClasses() []runtime.Object {
	var out []runtime.Object
	for _, c := range schedulinginternal.SystemPriorityClasses() {
		out = append(out, c)
	}
	return out
}
