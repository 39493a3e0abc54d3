// Package authorization defines the kinds of the API group
// authorization.k8s.io: questions, which are answered and not stored.
package authorization

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	_ "k8s.io/kubernetes/pkg/apis/authorization/install"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Virtual(kind.Names{Group: authorizationv1.GroupName, Kind: "LocalSubjectAccessReview", Resource: "localsubjectaccessreviews"}),
		kind.Virtual(kind.Names{Group: authorizationv1.GroupName, Kind: "SelfSubjectAccessReview", Resource: "selfsubjectaccessreviews", Cluster: true}),
		kind.Virtual(kind.Names{Group: authorizationv1.GroupName, Kind: "SelfSubjectRulesReview", Resource: "selfsubjectrulesreviews", Cluster: true}),
		kind.Virtual(kind.Names{Group: authorizationv1.GroupName, Kind: "SubjectAccessReview", Resource: "subjectaccessreviews", Cluster: true}),
	}
}
