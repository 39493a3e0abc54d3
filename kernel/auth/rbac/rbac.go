// Package rbac decides requests by Roles and ClusterRoles and their bindings,
// keeps the default ones in place, collects aggregated roles and refuses
// writes by which somebody would give away rights that he does not hold.
//
// It reads from the kernel's cache and keeps nothing, so a change of a role
// counts from the moment that the cache has seen it. Everything here is safe
// for concurrent use. Start reading at [Authorizer].
//
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/
package rbac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/resource"
)

// The resources that this package reads.
var (
	clusterRoles        = schema.GroupResource{Group: rbacv1.GroupName, Resource: "clusterroles"}
	clusterRoleBindings = schema.GroupResource{Group: rbacv1.GroupName, Resource: "clusterrolebindings"}
	roles               = schema.GroupResource{Group: rbacv1.GroupName, Resource: "roles"}
	roleBindings        = schema.GroupResource{Group: rbacv1.GroupName, Resource: "rolebindings"}
)

// Implements are the resources that an Authorizer acts on; see
// kernel/implementers.
func Implements() []schema.GroupResource {
	return []schema.GroupResource{clusterRoles, clusterRoleBindings, roles, roleBindings}
}

// Authorizer allows what a role that is bound to the user allows. Members of
// system:masters may do everything, even when no role can be read.
type Authorizer struct {
	r resource.Reader
}

// New makes an Authorizer that reads roles and bindings of the hub version
// (rbac.authorization.k8s.io/v1) from r.
func New(r resource.Reader) *Authorizer { return &Authorizer{r} }

// Authorize implements authorizer.UnconditionalAuthorizer. It never denies:
// what no rule allows is left to the next authorizer.
func (z *Authorizer) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	u := a.GetUser()
	if u == nil {
		return authorizer.DecisionNoOpinion, "no user on request", nil
	}
	if slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		return authorizer.DecisionAllow, "", nil
	}
	allowed, reason := false, ""
	err := z.visit(ctx, u, a.GetNamespace(), func(b bound, rule *rbacv1.PolicyRule) bool {
		if ruleAllows(rule, a) {
			allowed, reason = true, b.String()
		}
		return !allowed
	})
	if allowed {
		return authorizer.DecisionAllow, "RBAC: allowed by " + reason, nil
	}
	if err != nil {
		return authorizer.DecisionNoOpinion, fmt.Sprintf("RBAC: %v", err), nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// RulesFor lists all rules that hold for a user in a namespace, or outside of
// any with "". What could not be read comes as an error beside the rules.
func (z *Authorizer) RulesFor(ctx context.Context, u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	var out []rbacv1.PolicyRule
	if slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		out = append(out, rbacv1.PolicyRule{Verbs: all, APIGroups: all, Resources: all}, rbacv1.PolicyRule{Verbs: all, NonResourceURLs: all})
	}
	err := z.visit(ctx, u, namespace, func(_ bound, rule *rbacv1.PolicyRule) bool {
		out = append(out, *rule)
		return true
	})
	return out, err
}

var all = []string{"*"}

// bound says by which binding a rule holds, for the reason of a decision.
type bound struct {
	kind, namespace, name string
	role                  rbacv1.RoleRef
	subject               *rbacv1.Subject
}

func (b bound) String() string {
	name := b.name
	if b.namespace != "" {
		name = b.name + "/" + b.namespace
	}
	sub := b.subject.Kind + " " + fmt.Sprintf("%q", b.subject.Name)
	if b.subject.Kind == rbacv1.ServiceAccountKind {
		sub = fmt.Sprintf("%s %q", b.subject.Kind, b.subject.Name+"/"+b.subject.Namespace)
	}
	return fmt.Sprintf("%s %q of %s %q to %s", b.kind, name, b.role.Kind, b.role.Name, sub)
}

// visit calls fn with every rule that holds for the user until it returns
// false. Bindings of roles that do not exist are skipped and reported.
func (z *Authorizer) visit(ctx context.Context, u user.Info, namespace string, fn func(bound, *rbacv1.PolicyRule) bool) error {
	var errs []error
	cluster, err := z.r.List(ctx, clusterRoleBindings, "")
	if err != nil {
		errs = append(errs, err)
	}
	for _, o := range cluster {
		b, ok := o.(*rbacv1.ClusterRoleBinding)
		if !ok {
			continue
		}
		sub := matching(b.Subjects, u, "")
		if sub == nil {
			continue
		}
		more, err := z.visitRole(ctx, bound{"ClusterRoleBinding", "", b.Name, b.RoleRef, sub}, "", fn)
		errs = append(errs, err)
		if !more {
			return errors.Join(errs...)
		}
	}
	if namespace == "" {
		return errors.Join(errs...)
	}
	local, err := z.r.List(ctx, roleBindings, namespace)
	errs = append(errs, err)
	for _, o := range local {
		b, ok := o.(*rbacv1.RoleBinding)
		if !ok {
			continue
		}
		sub := matching(b.Subjects, u, namespace)
		if sub == nil {
			continue
		}
		more, err := z.visitRole(ctx, bound{"RoleBinding", namespace, b.Name, b.RoleRef, sub}, namespace, fn)
		errs = append(errs, err)
		if !more {
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}

func (z *Authorizer) visitRole(ctx context.Context, b bound, namespace string, fn func(bound, *rbacv1.PolicyRule) bool) (bool, error) {
	rules, err := z.roleRules(ctx, b.role, namespace)
	if err != nil {
		return true, err
	}
	for i := range rules {
		if !fn(b, &rules[i]) {
			return false, nil
		}
	}
	return true, nil
}

// roleRules are the rules of the role that a binding in a namespace refers to.
func (z *Authorizer) roleRules(ctx context.Context, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	var o runtime.Object
	var err error
	switch ref.Kind {
	case "Role":
		o, err = z.r.Get(ctx, roles, namespace, ref.Name)
	case "ClusterRole":
		o, err = z.r.Get(ctx, clusterRoles, "", ref.Name)
	default:
		return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
	}
	if err != nil {
		return nil, err
	}
	switch r := o.(type) {
	case *rbacv1.Role:
		return r.Rules, nil
	case *rbacv1.ClusterRole:
		return r.Rules, nil
	}
	return nil, apierrors.NewInternalError(fmt.Errorf("%s %q is a %T", ref.Kind, ref.Name, o))
}

// matching is the first subject that is the user.
func matching(subjects []rbacv1.Subject, u user.Info, namespace string) *rbacv1.Subject {
	for i := range subjects {
		s := &subjects[i]
		switch s.Kind {
		case rbacv1.UserKind:
			if s.Name == u.GetName() {
				return s
			}
		case rbacv1.GroupKind:
			if slices.Contains(u.GetGroups(), s.Name) {
				return s
			}
		case rbacv1.ServiceAccountKind:
			ns := s.Namespace
			if ns == "" {
				ns = namespace
			}
			if ns != "" && serviceaccount.MatchesUsername(ns, s.Name, u.GetName()) {
				return s
			}
		}
	}
	return nil
}

func ruleAllows(rule *rbacv1.PolicyRule, a authorizer.Attributes) bool {
	if !has(rule.Verbs, a.GetVerb()) {
		return false
	}
	if !a.IsResourceRequest() {
		return slices.ContainsFunc(rule.NonResourceURLs, func(u string) bool { return urlMatches(u, a.GetPath()) })
	}
	return has(rule.APIGroups, a.GetAPIGroup()) &&
		resourceMatches(rule.Resources, a.GetResource(), a.GetSubresource()) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.GetName()))
}

func has(list []string, s string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, s)
}

func urlMatches(pattern, path string) bool {
	if pattern == "*" || pattern == path {
		return true
	}
	prefix, ok := strings.CutSuffix(pattern, "*")
	return ok && strings.HasPrefix(path, strings.TrimRight(prefix, "*"))
}

// resourceMatches knows "*", "pods/log" and "*/scale".
func resourceMatches(list []string, res, sub string) bool {
	full := res
	if sub != "" {
		full += "/" + sub
	}
	for _, r := range list {
		if r == "*" || r == full || (sub != "" && r == "*/"+sub) {
			return true
		}
	}
	return false
}

var _ authorizer.UnconditionalAuthorizer = (*Authorizer)(nil)
