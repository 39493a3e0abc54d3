// Package node defines the kinds of the API group node.k8s.io.
package node

import (
	"context"

	nodev1 "k8s.io/api/node/v1"
	nodeutil "k8s.io/kubernetes/pkg/api/node"
	"k8s.io/kubernetes/pkg/apis/node"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	nodevalidation "k8s.io/kubernetes/pkg/apis/node/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: nodev1.GroupName, Kind: "RuntimeClass", Resource: "runtimeclasses", Cluster: true}, kind.Rule[nodev1.RuntimeClass, node.RuntimeClass]{
			CreateOnUpdate: true,
			Conditional:    true,
			Validate:       nodevalidation.ValidateRuntimeClass,
			ValidateUpdate: kind.Both(nodevalidation.ValidateRuntimeClass, nodevalidation.ValidateRuntimeClassUpdate),
			Declare: func(_, _ *node.RuntimeClass) kind.Declaration {
				return kind.Declaration{Rules: nodevalidation.NodeNormalizationRules}
			},
			Warn: func(_ context.Context, c, _ *node.RuntimeClass) []string {
				return nodeutil.GetWarningsForRuntimeClass(c)
			},
		}),
	}
}
