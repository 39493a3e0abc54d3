// Package impersonation decides who may act as whom. There are two forms. The
// constrained one (KEP-5284) allows a user to send certain requests only as certain
// others, by verbs of its own; the first one allows with the verb "impersonate" whatever
// that other may do, and is asked last.
//
// https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
// https://kep.k8s.io/5284
package impersonation

import (
	"context"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
)

// As is whom a user acts as.
type As struct {
	User *user.DefaultInfo
	// Constraint is the verb that allows it, of the constrained form; "" is the first.
	Constraint string
}

// Check returns as whom the user of a request acts who asks to be wanted. A user's
// groups that he always has are added.
//
// # Errors
//   - Forbidden: of the first way that applies
func Check(ctx context.Context, z authorizer.UnconditionalAuthorizer, wanted *user.DefaultInfo, request authorizer.Attributes) (*As, error) {
	var first error
	for _, m := range modes {
		if !m.applies(wanted, request.GetUser()) {
			continue
		}
		as, err := m.check(ctx, z, wanted, request)
		if err == nil {
			return as, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// check asks whether the request may be sent as somebody of the mode's kind at all, and
// then whether as wanted.
func (m *mode) check(ctx context.Context, z authorizer.UnconditionalAuthorizer, wanted *user.DefaultInfo, request authorizer.Attributes) (*As, error) {
	if m.ofServiceAccount {
		request = onItsNode{request}
	}
	if m.constrained() {
		if err := ask(ctx, z, onVerb{request, m.name}); err != nil {
			return nil, err
		}
	}
	q := question{mode: m, by: request.GetUser(), z: z}
	u := *wanted
	for _, part := range []func(context.Context, *user.DefaultInfo) error{q.name, q.uid, q.groups, q.extra} {
		if err := part(ctx, &u); err != nil {
			return nil, err
		}
	}
	switch {
	case u.Name == user.Anonymous:
		ensureGroup(&u, user.AllUnauthenticated)
	case !slices.Contains(u.Groups, user.AllUnauthenticated):
		ensureGroup(&u, user.AllAuthenticated)
	}
	as := &As{User: &u}
	if m.constrained() {
		as.Constraint = m.verb()
	}
	return as, nil
}

func ensureGroup(u *user.DefaultInfo, group string) {
	if !slices.Contains(u.Groups, group) {
		u.Groups = append(slices.Clone(u.Groups), group)
	}
}

// question is what is asked about the parts of one identity.
type question struct {
	mode *mode
	by   user.Info
	z    authorizer.UnconditionalAuthorizer
}

func (q question) about(gv schema.GroupVersion, resource, name string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{User: q.by, Verb: q.mode.verb(), APIGroup: gv.Group, APIVersion: gv.Version, Resource: resource, Name: name, ResourceRequest: true}
}

// version is that of users and groups: the constrained form moved them.
func (q question) version() schema.GroupVersion {
	if q.mode.constrained() {
		return authenticationv1.SchemeGroupVersion
	}
	return corev1.SchemeGroupVersion
}

func (q question) name(ctx context.Context, u *user.DefaultInfo) error {
	a := q.about(q.version(), "users", u.Name)
	if node, ok := nodeName(u.Name); ok && q.mode.constrained() {
		a.Resource, a.Name = "nodes", node
		if q.mode.ofServiceAccount {
			a.Name = "*"
		}
	}
	if namespace, account, err := serviceaccount.SplitUsername(u.Name); err == nil {
		a.Resource, a.Namespace, a.Name = "serviceaccounts", namespace, account
	}
	return ask(ctx, q.z, a)
}

func (q question) uid(ctx context.Context, u *user.DefaultInfo) error {
	if u.UID == "" {
		return nil
	}
	return ask(ctx, q.z, q.about(authenticationv1.SchemeGroupVersion, "uids", u.UID))
}

// many is from how many on all are asked about at once, first.
const many = 4

// groups asks about those that are wanted, or gives those that the kind of user always
// has.
func (q question) groups(ctx context.Context, u *user.DefaultInfo) error {
	if len(u.Groups) == 0 {
		u.Groups = q.given(u.Name)
		return nil
	}
	a := q.about(q.version(), "groups", "")
	if q.mode.constrained() {
		switch {
		case slices.Contains(u.Groups, ""):
			return responsewriters.ForbiddenStatusError(a, "impersonating the empty string group is not allowed")
		case slices.Contains(u.Groups, user.SystemPrivilegedGroup):
			a.Name = user.SystemPrivilegedGroup
			return responsewriters.ForbiddenStatusError(a, "impersonating the system:masters group is not allowed")
		}
		if a.Name = "*"; len(u.Groups) >= many && ask(ctx, q.z, a) == nil {
			return nil
		}
	}
	for _, g := range u.Groups {
		a.Name = g
		if err := ask(ctx, q.z, a); err != nil {
			return err
		}
	}
	return nil
}

func (q question) given(name string) []string {
	if _, ok := nodeName(name); ok && q.mode.constrained() {
		return []string{user.NodesGroup}
	}
	if namespace, _, err := serviceaccount.SplitUsername(name); err == nil {
		return serviceaccount.MakeGroupNames(namespace)
	}
	return nil
}

func (q question) extra(ctx context.Context, u *user.DefaultInfo) error {
	if len(u.Extra) == 0 {
		return nil
	}
	a := q.about(authenticationv1.SchemeGroupVersion, "userextras", "")
	if q.mode.constrained() {
		if err := validateExtra(u.Extra); err != nil {
			return responsewriters.ForbiddenStatusError(a, err.Error())
		}
		if a.Subresource, a.Name = "*", "*"; values(u.Extra) >= many && ask(ctx, q.z, a) == nil {
			return nil
		}
	}
	for key, vs := range u.Extra {
		a.Subresource = key
		for _, v := range vs {
			a.Name = v
			if err := ask(ctx, q.z, a); err != nil {
				return err
			}
		}
	}
	return nil
}
