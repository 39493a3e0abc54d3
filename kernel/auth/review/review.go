// Package review answers questions about identity and permission: TokenReview,
// SelfSubjectReview and the SubjectAccessReview family. Its handlers serve
// virtual resources of the registry; nothing is stored.
package review

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
)

// RuleResolver lists what a user may do in a namespace.
type RuleResolver interface {
	RulesFor(ctx context.Context, u user.Info, namespace string) ([]rbacv1.PolicyRule, error)
}

// Config is what reviews are answered with.
type Config struct {
	Tokens     authenticator.Token
	Audiences  authenticator.Audiences // of reviews that name none
	Authorizer authorizer.UnconditionalAuthorizer
	Rules      RuleResolver
	Clock      clock.PassiveClock
}

// Handlers returns the answers by resource, for the registry.
func Handlers(c Config) map[schema.GroupResource]registry.Virtual {
	z, n := authorizationv1.GroupName, authenticationv1.GroupName
	return map[schema.GroupResource]registry.Virtual{
		{Group: n, Resource: "tokenreviews"}:              handler(c.token),
		{Group: n, Resource: "selfsubjectreviews"}:        handler(c.self),
		{Group: z, Resource: "subjectaccessreviews"}:      handler(c.access),
		{Group: z, Resource: "selfsubjectaccessreviews"}:  handler(c.selfAccess),
		{Group: z, Resource: "localsubjectaccessreviews"}: handler(c.localAccess),
		{Group: z, Resource: "selfsubjectrulesreviews"}:   handler(c.rules),
	}
}

// handler adapts an answer for one type. fn may change the object: it is the
// request's own.
func handler[T any, P interface {
	*T
	runtime.Object
}](fn func(ctx context.Context, u user.Info, t registry.Target, r P) error) registry.Virtual {
	return func(ctx context.Context, u user.Info, t registry.Target, obj runtime.Object, _ registry.WriteOptions) (runtime.Object, error) {
		r, ok := obj.(P)
		if !ok {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a %T, got a %T", r, obj))
		}
		r = r.DeepCopyObject().(P)
		if err := fn(ctx, u, t, r); err != nil {
			return nil, err
		}
		return r, nil
	}
}

func (c Config) token(ctx context.Context, _ user.Info, _ registry.Target, r *authenticationv1.TokenReview) error {
	if r.Spec.Token == "" {
		return apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	audiences := authenticator.Audiences(r.Spec.Audiences)
	if len(audiences) == 0 {
		audiences = c.Audiences
	}
	token := r.Spec.Token
	r.Status = authenticationv1.TokenReviewStatus{}
	resp, ok, err := c.Tokens.AuthenticateToken(authenticator.WithAudiences(ctx, audiences), token)
	switch {
	case err != nil:
		r.Status.Error = err.Error()
	case ok:
		r.Status.Authenticated = true
		r.Status.User = userInfo(resp.User)
		r.Status.Audiences = resp.Audiences
		if len(resp.Audiences) == 0 {
			r.Status.Audiences = c.Audiences
		}
	}
	return nil
}

func (c Config) self(_ context.Context, u user.Info, _ registry.Target, r *authenticationv1.SelfSubjectReview) error {
	*r = authenticationv1.SelfSubjectReview{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(c.Clock.Now().Truncate(time.Second))},
		Status:     authenticationv1.SelfSubjectReviewStatus{UserInfo: userInfo(u)},
	}
	return nil
}

func userInfo(u user.Info) authenticationv1.UserInfo {
	out := authenticationv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups()}
	for k, v := range u.GetExtra() {
		if out.Extra == nil {
			out.Extra = map[string]authenticationv1.ExtraValue{}
		}
		out.Extra[k] = v
	}
	return out
}

func (c Config) access(ctx context.Context, _ user.Info, _ registry.Target, r *authorizationv1.SubjectAccessReview) error {
	if err := validate("SubjectAccessReview", r.Spec); err != nil {
		return err
	}
	r.Status = c.ask(ctx, subject(r.Spec), r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return nil
}

func (c Config) localAccess(ctx context.Context, _ user.Info, t registry.Target, r *authorizationv1.LocalSubjectAccessReview) error {
	if err := validate("LocalSubjectAccessReview", r.Spec); err != nil {
		return err
	}
	namespace := t.Namespace
	if namespace == "" {
		namespace = r.Namespace
	}
	switch {
	case r.Spec.ResourceAttributes == nil || r.Spec.NonResourceAttributes != nil:
		return invalid("LocalSubjectAccessReview", "resourceAttributes", "must be set, and nonResourceAttributes must not")
	case r.Spec.ResourceAttributes.Namespace != namespace:
		return apierrors.NewBadRequest(fmt.Sprintf("spec.resourceAttributes.namespace must match namespace: %v", namespace))
	}
	r.Status = c.ask(ctx, subject(r.Spec), r.Spec.ResourceAttributes, nil)
	return nil
}

func (c Config) selfAccess(ctx context.Context, u user.Info, _ registry.Target, r *authorizationv1.SelfSubjectAccessReview) error {
	if (r.Spec.ResourceAttributes == nil) == (r.Spec.NonResourceAttributes == nil) {
		return invalid("SelfSubjectAccessReview", "resourceAttributes", "exactly one of nonResourceAttributes or resourceAttributes must be specified")
	}
	r.Status = c.ask(ctx, u, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return nil
}

func validate(kind string, s authorizationv1.SubjectAccessReviewSpec) error {
	if (s.ResourceAttributes == nil) == (s.NonResourceAttributes == nil) {
		return invalid(kind, "resourceAttributes", "exactly one of nonResourceAttributes or resourceAttributes must be specified")
	}
	if s.User == "" && len(s.Groups) == 0 {
		return invalid(kind, "user", "at least one of user or group must be specified")
	}
	return nil
}

func invalid(kind, name, text string) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: authorizationv1.GroupName, Kind: kind}, "",
		field.ErrorList{field.Invalid(field.NewPath("spec").Child(name), nil, text)})
}

func subject(s authorizationv1.SubjectAccessReviewSpec) user.Info {
	u := &user.DefaultInfo{Name: s.User, Groups: s.Groups, UID: s.UID}
	for k, v := range s.Extra {
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[k] = v
	}
	return u
}

func (c Config) ask(ctx context.Context, u user.Info, r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
	var a authorizer.AttributesRecord
	if r != nil {
		a = resourceAttributes(u, r)
	} else {
		a = authorizer.AttributesRecord{User: u, Verb: n.Verb, Path: n.Path}
	}
	d, reason, err := c.Authorizer.Authorize(ctx, a)
	st := authorizationv1.SubjectAccessReviewStatus{
		Allowed:         d == authorizer.DecisionAllow,
		Denied:          d == authorizer.DecisionDeny,
		Reason:          reason,
		EvaluationError: evaluationError(err, &a),
	}
	return st
}

func (c Config) rules(ctx context.Context, u user.Info, _ registry.Target, r *authorizationv1.SelfSubjectRulesReview) error {
	if r.Spec.Namespace == "" {
		return apierrors.NewBadRequest("no namespace on request")
	}
	list, err := c.Rules.RulesFor(ctx, u, r.Spec.Namespace)
	st := authorizationv1.SubjectRulesReviewStatus{
		ResourceRules:    []authorizationv1.ResourceRule{},
		NonResourceRules: []authorizationv1.NonResourceRule{},
	}
	for _, x := range list {
		if len(x.Resources) > 0 {
			st.ResourceRules = append(st.ResourceRules, authorizationv1.ResourceRule{Verbs: x.Verbs, APIGroups: x.APIGroups, Resources: x.Resources, ResourceNames: x.ResourceNames})
		}
		if len(x.NonResourceURLs) > 0 {
			st.NonResourceRules = append(st.NonResourceRules, authorizationv1.NonResourceRule{Verbs: x.Verbs, NonResourceURLs: x.NonResourceURLs})
		}
	}
	if err != nil {
		st.Incomplete, st.EvaluationError = true, err.Error()
	}
	*r = authorizationv1.SelfSubjectRulesReview{Status: st} // as upstream, the answer does not repeat the question
	return nil
}
