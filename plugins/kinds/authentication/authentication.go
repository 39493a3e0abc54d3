// Package authentication defines the kinds of the API group
// authentication.k8s.io: questions, which are answered and not stored.
package authentication

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	_ "k8s.io/kubernetes/pkg/apis/authentication/install"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Virtual(kind.Names{Group: authenticationv1.GroupName, Kind: "SelfSubjectReview", Resource: "selfsubjectreviews", Cluster: true}),
		kind.Virtual(kind.Names{Group: authenticationv1.GroupName, Kind: "TokenReview", Resource: "tokenreviews", Cluster: true}),
	}
}
