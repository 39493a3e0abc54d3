package rbac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/pintle-io/pintle/kernel/admission"
)

// Escalation refuses to write roles that grant, and bindings that give away,
// what their author does not hold himself. It is an admission rule that must
// fail closed.
//
// An author who may "escalate" a role, or "bind" it, is not asked. Nobody may
// write one.
type Escalation struct {
	rules *Authorizer
	z     authorizer.UnconditionalAuthorizer
}

var errNobody = errors.New("no user on the request")

// NewEscalation makes the rule. z answers whether the author may escalate or
// bind; rules says what he holds.
func NewEscalation(rules *Authorizer, z authorizer.UnconditionalAuthorizer) *Escalation {
	return &Escalation{rules, z}
}

// Validate implements admission.Validator.
func (e *Escalation) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.Resource.Group != rbacv1.GroupName || (a.Operation != admission.Create && a.Operation != admission.Update) {
		return nil
	}
	if a.User == nil {
		return apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, errNobody)
	}
	if slices.Contains(a.User.GetGroups(), user.SystemPrivilegedGroup) {
		return nil
	}
	gr := a.Resource.GroupResource()
	switch o := a.Object.(type) {
	case *rbacv1.Role:
		if old, ok := a.Old.(*rbacv1.Role); ok && equality.Semantic.DeepEqual(old.Rules, o.Rules) {
			return nil
		}
		return e.role(ctx, a.User, gr, o.Namespace, o.Name, o.Rules)
	case *rbacv1.ClusterRole:
		if old, ok := a.Old.(*rbacv1.ClusterRole); ok && equality.Semantic.DeepEqual(old.Rules, o.Rules) && equality.Semantic.DeepEqual(old.AggregationRule, o.AggregationRule) {
			return nil
		}
		rules := o.Rules
		if o.AggregationRule != nil {
			// Whatever roles it will collect: only who holds everything may
			// ask for that.
			rules = append(slices.Clone(rules), rbacv1.PolicyRule{Verbs: all, APIGroups: all, Resources: all}, rbacv1.PolicyRule{Verbs: all, NonResourceURLs: all})
		}
		return e.role(ctx, a.User, gr, "", o.Name, rules)
	case *rbacv1.RoleBinding:
		if old, ok := a.Old.(*rbacv1.RoleBinding); ok && old.RoleRef == o.RoleRef && equality.Semantic.DeepEqual(old.Subjects, o.Subjects) {
			return nil
		}
		return e.binding(ctx, a.User, gr, o.Namespace, o.Name, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		if old, ok := a.Old.(*rbacv1.ClusterRoleBinding); ok && old.RoleRef == o.RoleRef && equality.Semantic.DeepEqual(old.Subjects, o.Subjects) {
			return nil
		}
		return e.binding(ctx, a.User, gr, "", o.Name, o.RoleRef)
	}
	return nil
}

// MayGrant tells whether a user may give rules away by writing an object of a
// resource: he holds them himself in that namespace, "" for all of them, or may
// "escalate" the object. Its error is the API's answer.
func (e *Escalation) MayGrant(ctx context.Context, u user.Info, gr schema.GroupResource, namespace, name string, rules []rbacv1.PolicyRule) error {
	if len(rules) == 0 {
		return nil
	}
	return e.role(ctx, u, gr, namespace, name, rules)
}

func (e *Escalation) role(ctx context.Context, u user.Info, gr schema.GroupResource, namespace, name string, rules []rbacv1.PolicyRule) error {
	if e.may(ctx, u, "escalate", gr, namespace, name) {
		return nil
	}
	return e.covered(ctx, u, gr, namespace, name, rules)
}

func (e *Escalation) binding(ctx context.Context, u user.Info, gr schema.GroupResource, namespace, name string, ref rbacv1.RoleRef) error {
	target := roles
	if ref.Kind == "ClusterRole" {
		target = clusterRoles
	}
	if e.may(ctx, u, "bind", target, namespace, ref.Name) {
		return nil
	}
	rules, err := e.rules.roleRules(ctx, ref, namespace)
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return apierrors.NewForbidden(gr, name, err)
	}
	return e.covered(ctx, u, gr, namespace, name, rules)
}

func (e *Escalation) may(ctx context.Context, u user.Info, verb string, gr schema.GroupResource, namespace, name string) bool {
	d, _, err := e.z.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: verb, Namespace: namespace, Name: name,
		APIGroup: gr.Group, APIVersion: "v1", Resource: gr.Resource, ResourceRequest: true,
	})
	return err == nil && d == authorizer.DecisionAllow
}

func (e *Escalation) covered(ctx context.Context, u user.Info, gr schema.GroupResource, namespace, name string, rules []rbacv1.PolicyRule) error {
	own, err := e.rules.RulesFor(ctx, u, namespace)
	ok, missing := validation.Covers(own, rules)
	if ok {
		return nil
	}
	msg := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		u.GetName(), u.GetGroups(), describe(missing))
	if err != nil {
		msg += fmt.Sprintf("; resolution errors: %v", err)
	}
	return apierrors.NewForbidden(gr, name, fmt.Errorf("%s", msg))
}

// describe lists rules one to a line, sorted.
func describe(rules []rbacv1.PolicyRule) string {
	var lines []string
	for _, r := range rules {
		var parts []string
		add := func(name string, list []string) {
			if len(list) > 0 {
				parts = append(parts, fmt.Sprintf("%s:%q", name, list))
			}
		}
		add("APIGroups", r.APIGroups)
		add("Resources", r.Resources)
		add("ResourceNames", r.ResourceNames)
		add("NonResourceURLs", r.NonResourceURLs)
		add("Verbs", r.Verbs)
		lines = append(lines, "{"+strings.Join(parts, ", ")+"}")
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}

var _ admission.Validator = (*Escalation)(nil)
