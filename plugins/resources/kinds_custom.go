package resources

import (
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"

	"github.com/pintle-io/pintle/kernel/resource"
)

// customKinds would define other kinds. They can be read, because clients look
// here for kinds that they do not know, and there are none: nothing would
// serve the objects of a kind that somebody defined. Upstream serves v1 and
// stores v1beta1.
func customKinds() []*resource.Definition {
	crds := define(names{
		group: apiextensions.GroupName, kind: "CustomResourceDefinition", resource: "customresourcedefinitions",
		short: []string{"crd", "crds"}, categories: extensions, cluster: true,
		storage: "v1beta1", prefix: apiextensions.GroupName + "/customresourcedefinitions",
		verbs: readVerbs, unserved: "this version of Pintle does not serve custom resources",
	}, rule[v1beta1.CustomResourceDefinition, apiextensions.CustomResourceDefinition]{
		status:     hasStatus,
		generation: bySpec,
	})
	crds.Subresource("status").Verbs = []string{"get"}
	return []*resource.Definition{crds}
}
