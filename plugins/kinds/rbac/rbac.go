// Package rbac defines the kinds of the API group rbac.authorization.k8s.io.
package rbac

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/rbac"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: rbacv1.GroupName, Kind: "ClusterRole", Resource: "clusterroles", NeedsImplementer: true, Cluster: true}, kind.Rule[rbacv1.ClusterRole, rbac.ClusterRole]{
			CreateOnUpdate: true,
			Validate: func(r *rbac.ClusterRole) field.ErrorList {
				return rbacvalidation.ValidateClusterRole(r, rbacvalidation.ClusterRoleValidationOptions{})
			},
			ValidateUpdate: func(r, old *rbac.ClusterRole) field.ErrorList {
				return rbacvalidation.ValidateClusterRoleUpdate(r, old, rbacvalidation.ClusterRoleValidationOptions{
					AllowInvalidLabelValueInSelector: old.AggregationRule != nil && slices.ContainsFunc(old.AggregationRule.ClusterRoleSelectors, kind.InvalidSelector),
				})
			},
		}),
		kind.Define(kind.Names{Group: rbacv1.GroupName, Kind: "ClusterRoleBinding", Resource: "clusterrolebindings", NeedsImplementer: true, Cluster: true}, kind.Rule[rbacv1.ClusterRoleBinding, rbac.ClusterRoleBinding]{
			CreateOnUpdate: true,
			Validate:       rbacvalidation.ValidateClusterRoleBinding,
			ValidateUpdate: rbacvalidation.ValidateClusterRoleBindingUpdate,
		}),
		kind.Define(kind.Names{Group: rbacv1.GroupName, Kind: "Role", Resource: "roles", NeedsImplementer: true}, kind.Rule[rbacv1.Role, rbac.Role]{
			CreateOnUpdate: true,
			Validate:       rbacvalidation.ValidateRole,
			ValidateUpdate: rbacvalidation.ValidateRoleUpdate,
		}),
		kind.Define(kind.Names{Group: rbacv1.GroupName, Kind: "RoleBinding", Resource: "rolebindings", NeedsImplementer: true}, kind.Rule[rbacv1.RoleBinding, rbac.RoleBinding]{
			CreateOnUpdate: true,
			Validate:       rbacvalidation.ValidateRoleBinding,
			ValidateUpdate: rbacvalidation.ValidateRoleBindingUpdate,
		}),
	}
}
