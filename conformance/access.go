package conformance

import (
	"context"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var accessCases = []Case{
	{Name: "access/rbac", Stands: "RBAC: Role and RoleBinding", Run: accessRBAC},
	{Name: "access/escalation", Stands: "RBAC: privilege escalation prevention", Run: accessEscalation},
	{Name: "access/reviews", Stands: "SubjectReview should support SubjectReview API operations", Run: accessReviews},
	{Name: "access/impersonation", Stands: "Authentication: user impersonation", Run: accessImpersonation},
	{Name: "access/aggregation", Stands: "RBAC: aggregated ClusterRoles; default roles", Run: accessAggregation},
}

// as is a client that acts for another user.
func as(e *Env, name string, groups ...string) (kubernetes.Interface, error) {
	cfg := rest.CopyConfig(e.REST)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: groups}
	return kubernetes.NewForConfig(cfg)
}

// grant binds a new Role of the case's namespace to a user.
func grant(ctx context.Context, e *Env, user string, rules ...rbacv1.PolicyRule) error {
	r, err := e.Client.RbacV1().Roles(e.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "role-"}, Rules: rules}, create)
	if err != nil {
		return err
	}
	_, err = e.Client.RbacV1().RoleBindings(e.Namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: r.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: r.Name}}, create)
	return err
}

func accessRBAC(ctx context.Context, e *Env) error {
	user := "user-" + e.Namespace
	client, err := as(e, user)
	if err != nil {
		return err
	}
	c := client.CoreV1().ConfigMaps(e.Namespace)
	_, before := c.List(ctx, list)
	errs := []error{forbidden("list before a role is bound", before)}
	if before != nil {
		want := fmt.Sprintf(`configmaps is forbidden: User %q cannot list resource "configmaps" in API group "" in the namespace %q`, user, e.Namespace)
		errs = append(errs, same("message", before.Error(), want))
	}
	if err := grant(ctx, e, user, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list", "get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: []string{"mine"}}); err != nil {
		return err
	}
	errs = append(errs, eventually(ctx, func() error { _, err := c.List(ctx, list); return err }))
	_, write := c.Create(ctx, configMap("a"), create)
	_, elsewhere := client.CoreV1().ConfigMaps("kube-system").List(ctx, list)
	_, mine := client.CoreV1().Secrets(e.Namespace).Get(ctx, "mine", get)
	_, other := client.CoreV1().Secrets(e.Namespace).Get(ctx, "other", get)
	return errors.Join(append(errs, forbidden("create with a role for reading", write), forbidden("list of another namespace", elsewhere),
		missing("a Secret that the role names", mine), forbidden("a Secret that it does not name", other))...)
}

func accessEscalation(ctx context.Context, e *Env) error {
	user := "user-" + e.Namespace
	if err := grant(ctx, e, user, rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}); err != nil {
		return err
	}
	client, err := as(e, user)
	if err != nil {
		return err
	}
	role := func(name, resource string) error {
		_, err := client.RbacV1().Roles(e.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{resource}, Verbs: []string{"get"}}}}, create)
		return err
	}
	errs := []error{eventually(ctx, func() error { return role("within", "pods") }), forbidden("a role for more than one's own", role("beyond", "secrets"))}
	_, err = client.RbacV1().RoleBindings(e.Namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "beyond"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}, create)
	return errors.Join(append(errs, forbidden("a binding to cluster-admin", err))...)
}

func accessReviews(ctx context.Context, e *Env) error {
	user := "user-" + e.Namespace
	if err := grant(ctx, e, user, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}); err != nil {
		return err
	}
	client, err := as(e, user)
	if err != nil {
		return err
	}
	var errs []error
	for verb, want := range map[string]bool{"list": true, "delete": false} {
		on := &authorizationv1.ResourceAttributes{Namespace: e.Namespace, Verb: verb, Resource: "pods"}
		errs = append(errs, eventually(ctx, func() error {
			r, err := e.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: on}}, create)
			return errors.Join(err, same("SubjectAccessReview of "+verb, r.Status.Allowed, want))
		}))
		l, err := e.Client.AuthorizationV1().LocalSubjectAccessReviews(e.Namespace).Create(ctx, &authorizationv1.LocalSubjectAccessReview{
			ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace}, Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: on}}, create)
		errs = append(errs, err, same("LocalSubjectAccessReview of "+verb, l.Status.Allowed, want))
		s, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: on}}, create)
		errs = append(errs, err, same("SelfSubjectAccessReview of "+verb, s.Status.Allowed, want))
	}
	r, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: e.Namespace}}, create)
	found := false
	for _, x := range r.Status.ResourceRules {
		found = found || fmt.Sprint(x.Resources, x.Verbs) == "[pods] [list]"
	}
	return errors.Join(append(errs, err, same("SelfSubjectRulesReview names the rule", found, true))...)
}

func accessImpersonation(ctx context.Context, e *Env) error {
	user := "user-" + e.Namespace
	client, err := as(e, user, "group-a")
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Namespaces().List(ctx, list)
	errs := []error{forbidden("a list by a user without roles", err)}
	if err := client.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Error(); err != nil {
		errs = append(errs, fmt.Errorf("discovery, which system:authenticated may read: %w", err))
	}
	anonymous := rest.AnonymousClientConfig(e.REST)
	anon, err := kubernetes.NewForConfig(anonymous)
	if err != nil {
		return err
	}
	_, err = anon.CoreV1().Namespaces().List(ctx, list)
	errs = append(errs, forbidden("a list by nobody", err))
	anonymous.BearerToken = "no-such-token"
	if anon, err = kubernetes.NewForConfig(anonymous); err != nil {
		return err
	}
	_, err = anon.CoreV1().Namespaces().List(ctx, list)
	return errors.Join(append(errs, refused("a token that nobody issued", err, 401, metav1.StatusReasonUnauthorized))...)
}

func accessAggregation(ctx context.Context, e *Env) error {
	c := e.Client.RbacV1().ClusterRoles()
	name := "conformance:" + e.Namespace
	rule := rbacv1.PolicyRule{APIGroups: []string{"example.com"}, Resources: []string{e.Namespace}, Verbs: []string{"get"}}
	if _, err := c.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules: []rbacv1.PolicyRule{rule}}, create); err != nil {
		return err
	}
	has := func(want bool) error {
		return eventually(ctx, func() error {
			view, err := c.Get(ctx, "view", get)
			if err != nil {
				return err
			}
			found := false
			for _, r := range view.Rules {
				found = found || len(r.Resources) == 1 && r.Resources[0] == e.Namespace
			}
			return same("ClusterRole view has the new rule", found, want)
		})
	}
	return errors.Join(has(true), c.Delete(ctx, name, remove), has(false))
}
