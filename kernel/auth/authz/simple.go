package authz

import (
	"context"
	"errors"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/auth/node"
)

// privileged allows members of system:masters everything.
type privileged struct{}

func (privileged) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if u := a.GetUser(); u != nil && slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// always decides the same. AlwaysDeny is one of no opinion: as upstream's, it ends no
// chain.
type always authorizer.Decision

func (d always) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	if authorizer.Decision(d) == authorizer.DecisionNoOpinion {
		return authorizer.DecisionNoOpinion, "Everything is forbidden.", nil
	}
	return authorizer.Decision(d), "", nil
}

func everything(context.Context, user.Info, string) ([]rbacv1.PolicyRule, error) {
	all := []string{"*"}
	return []rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}, nil
}

func nothing(context.Context, user.Info, string) ([]rbacv1.PolicyRule, error) { return nil, nil }

func nodeRules(_ context.Context, u user.Info, _ string) ([]rbacv1.PolicyRule, error) {
	if _, ok := node.Identity(u); ok {
		return nil, errors.New("node authorizer does not support user rule resolution")
	}
	return nil, nil
}

func webhookRules(context.Context, user.Info, string) ([]rbacv1.PolicyRule, error) {
	return nil, errors.New("webhook authorizer does not support user rule resolution")
}
