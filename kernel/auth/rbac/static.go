package rbac

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// StaticRules are rules without bindings.
type StaticRules []rbacv1.PolicyRule

// Allows reports that one of the rules allows the request.
func (s StaticRules) Allows(a authorizer.Attributes) bool {
	for i := range s {
		if ruleAllows(&s[i], a) {
			return true
		}
	}
	return false
}

// NodeRules are the rules of the default role system:node, which is bound to
// nobody: the node authorizer grants by it.
func NodeRules() (StaticRules, error) {
	p, err := DefaultPolicy()
	if err != nil {
		return nil, err
	}
	for _, r := range p.ClusterRoles {
		if r.Name == "system:node" {
			return r.Rules, nil
		}
	}
	return nil, fmt.Errorf("default policy: no role system:node")
}
