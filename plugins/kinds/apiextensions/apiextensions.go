// Package apiextensions defines the kinds of the API group apiextensions.k8s.io.
package apiextensions

import (
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds would define other kinds. They can be read, because clients look
// here for kinds that they do not know, and there are none: nothing would
// serve the objects of a kind that somebody defined. Upstream serves v1 and
// stores v1beta1.
func Kinds() []*resource.Definition {
	crds := kind.Define(kind.Names{
		Group: apiextensions.GroupName, Kind: "CustomResourceDefinition", Resource: "customresourcedefinitions", NeedsImplementer: true,
		Short: []string{"crd", "crds"}, Categories: kind.Extensions, Cluster: true,
		Storage: "v1beta1", Prefix: apiextensions.GroupName + "/customresourcedefinitions",
		Verbs: kind.ReadVerbs, Unserved: "this version of Pintle does not serve custom resources",
	}, kind.Rule[v1beta1.CustomResourceDefinition, apiextensions.CustomResourceDefinition]{
		Status:     kind.HasStatus,
		Generation: kind.BySpec,
	})
	crds.Subresource("status").Verbs = []string{"get"}
	return []*resource.Definition{crds}
}
