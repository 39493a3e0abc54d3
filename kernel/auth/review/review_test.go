package review_test

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

func TestAccessReviews(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	admin := kerneltest.Client(t, c.Admin()).AuthorizationV1()
	ann := kerneltest.Client(t, c.User(t, "ann")).AuthorizationV1()
	ctx, o := t.Context(), metav1.CreateOptions{}
	pods := &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Namespace: "default"}

	self := func(s authorizationv1.SelfSubjectAccessReviewSpec) (*authorizationv1.SelfSubjectAccessReview, error) {
		return ann.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: s}, o)
	}
	if r, err := self(authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: pods}); err != nil || r.Status.Allowed {
		t.Errorf("ann reads pods: %+v, %v", r, err)
	}
	if r, err := self(authorizationv1.SelfSubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "get", Path: "/api"}}); err != nil || !r.Status.Allowed {
		t.Errorf("ann discovers: %+v, %v", r, err)
	}
	if _, err := self(authorizationv1.SelfSubjectAccessReviewSpec{}); !apierrors.IsInvalid(err) {
		t.Errorf("an empty question: %v", err)
	}
	if _, err := ann.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{}, o); !apierrors.IsForbidden(err) {
		t.Errorf("ann asks about others: %v", err)
	}

	r, err := admin.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		Groups: []string{"system:masters"}, User: "x", ResourceAttributes: pods}}, o)
	if err != nil || !r.Status.Allowed {
		t.Errorf("masters read pods: %+v, %v", r, err)
	}
	if _, err = admin.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: pods}}, o); !apierrors.IsInvalid(err) {
		t.Errorf("nobody: %v", err)
	}
	spec := authorizationv1.SubjectAccessReviewSpec{User: "ann", ResourceAttributes: pods}
	if l, err := admin.LocalSubjectAccessReviews("default").Create(ctx, &authorizationv1.LocalSubjectAccessReview{Spec: spec}, o); err != nil || l.Status.Allowed {
		t.Errorf("local: %+v, %v", l, err)
	}
	if _, err = admin.LocalSubjectAccessReviews("kube-system").Create(ctx, &authorizationv1.LocalSubjectAccessReview{Spec: spec}, o); !apierrors.IsBadRequest(err) {
		t.Errorf("local of another namespace: %v", err)
	}
}

func TestRulesReview(t *testing.T) {
	c := kerneltest.Start(t, kerneltest.Options{})
	rules := func(who authorizationv1.SelfSubjectRulesReviewSpec, user string, groups ...string) *authorizationv1.SelfSubjectRulesReview {
		t.Helper()
		r, err := kerneltest.Client(t, c.User(t, user, groups...)).AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
			&authorizationv1.SelfSubjectRulesReview{Spec: who}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ns := authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"}
	ann := rules(ns, "ann").Status
	if len(ann.ResourceRules) != 2 || len(ann.NonResourceRules) != 2 || ann.Incomplete {
		t.Errorf("ann may: %+v", ann)
	}
	root := rules(ns, "root", "system:masters").Status
	found := false
	for _, r := range root.ResourceRules {
		found = found || r.Verbs[0] == "*" && r.Resources[0] == "*"
	}
	if !found {
		t.Errorf("root may: %+v", root)
	}
}
