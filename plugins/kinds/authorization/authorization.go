// Package authorization defines the kinds of the API group
// authorization.k8s.io: questions, which are answered and not stored.
package authorization

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/kubernetes/pkg/apis/authorization"
	_ "k8s.io/kubernetes/pkg/apis/authorization/install"
	"k8s.io/kubernetes/pkg/apis/authorization/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	names := func(name, resource string, cluster bool) kind.Names {
		return kind.Names{Group: authorizationv1.GroupName, Kind: name, Resource: resource, Cluster: cluster}
	}
	return []*resource.Definition{
		kind.Question[authorizationv1.LocalSubjectAccessReview, authorization.LocalSubjectAccessReview](
			names("LocalSubjectAccessReview", "localsubjectaccessreviews", false), validation.ValidateLocalSubjectAccessReview),
		kind.Question[authorizationv1.SelfSubjectAccessReview, authorization.SelfSubjectAccessReview](
			names("SelfSubjectAccessReview", "selfsubjectaccessreviews", true), validation.ValidateSelfSubjectAccessReview),
		kind.Virtual(names("SelfSubjectRulesReview", "selfsubjectrulesreviews", true)),
		kind.Question[authorizationv1.SubjectAccessReview, authorization.SubjectAccessReview](
			names("SubjectAccessReview", "subjectaccessreviews", true), validation.ValidateSubjectAccessReview),
	}
}
