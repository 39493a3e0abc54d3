package review_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

func kubernetesCluster(t *testing.T) *kerneltest.Server {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	return kerneltest.Start(t, kerneltest.Options{Table: table})
}

// A node may list the pods that run on it, and nothing else of them: what a review
// says of a selector is what a list with it would meet.
func TestSelectorsAreHonoured(t *testing.T) {
	c := kubernetesCluster(t)
	reviews := kerneltest.Client(t, c.Admin()).AuthorizationV1().SubjectAccessReviews()
	in := metav1.FieldSelectorOpIn
	onNode := metav1.FieldSelectorRequirement{Key: "spec.nodeName", Operator: in, Values: []string{"n1"}}
	odd := metav1.FieldSelectorRequirement{Key: "spec.x", Operator: "Near", Values: []string{"n1"}}
	for name, tt := range map[string]struct {
		fields  *authorizationv1.FieldSelectorAttributes
		labels  *authorizationv1.LabelSelectorAttributes
		allowed bool
		trouble string
	}{
		"none":              {},
		"its own":           {fields: &authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName=n1"}, allowed: true},
		"another's":         {fields: &authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName=n2"}},
		"its own, in terms": {fields: &authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{onNode}}, allowed: true},
		"raw nonsense":      {fields: &authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName"}, trouble: "spec.resourceAttributes.fieldSelector ignored due to parse error"},
		"partly unknown":    {fields: &authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{onNode, odd}}, trouble: "spec.resourceAttributes.fieldSelector partially ignored due to parse error"},
		"odd labels": {labels: &authorizationv1.LabelSelectorAttributes{Requirements: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}},
			trouble: "spec.resourceAttributes.labelSelector ignored due to parse error"},
		"labels, raw nonsense": {labels: &authorizationv1.LabelSelectorAttributes{RawSelector: "a in"}, trouble: "spec.resourceAttributes.labelSelector ignored due to parse error"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := reviews.Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: "system:node:n1", Groups: []string{"system:nodes"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", FieldSelector: tt.fields, LabelSelector: tt.labels},
			}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Status.Allowed != tt.allowed || r.Status.EvaluationError != tt.trouble {
				t.Errorf("got %+v, want allowed %t and %q", r.Status, tt.allowed, tt.trouble)
			}
		})
	}
}

// What makes no sense as a question is refused in upstream's words, which have lost
// the kind.
func TestQuestionsAreValidated(t *testing.T) {
	c := kubernetesCluster(t)
	api := kerneltest.Client(t, c.Admin()).AuthorizationV1()
	pods := func(f *authorizationv1.FieldSelectorAttributes, l *authorizationv1.LabelSelectorAttributes) authorizationv1.SubjectAccessReviewSpec {
		return authorizationv1.SubjectAccessReviewSpec{User: "ann", ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "list", Resource: "pods", Namespace: "default", FieldSelector: f, LabelSelector: l}}
	}
	const head = `.authorization.k8s.io "" is invalid: `
	for name, tt := range map[string]struct {
		spec authorizationv1.SubjectAccessReviewSpec
		meta metav1.ObjectMeta
		want string
	}{
		"nothing":    {want: `[spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified`},
		"nobody":     {spec: authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/", Verb: "get"}}, want: `spec.user: Invalid value: "": at least one of user or group must be specified`},
		"a name":     {spec: pods(nil, nil), meta: metav1.ObjectMeta{Name: "x"}, want: `must be empty`},
		"no fields":  {spec: pods(&authorizationv1.FieldSelectorAttributes{}, nil), want: `spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required`},
		"two fields": {spec: pods(&authorizationv1.FieldSelectorAttributes{RawSelector: "a=b", Requirements: []metav1.FieldSelectorRequirement{{Key: "a", Operator: "Exists"}}}, nil), want: `spec.resourceAttributes.fieldSelector.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements`},
		"no labels":  {spec: pods(nil, &authorizationv1.LabelSelectorAttributes{}), want: `spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required`},
		"labels without values": {spec: pods(nil, &authorizationv1.LabelSelectorAttributes{Requirements: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In"}}}),
			want: `spec.resourceAttributes.labelSelector.requirements[0].values: Required value: must be specified when ` + "`operator` is 'In' or 'NotIn'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := api.SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{ObjectMeta: tt.meta, Spec: tt.spec}, metav1.CreateOptions{})
			if !apierrors.IsInvalid(err) || !strings.HasPrefix(err.Error(), head) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s...%s", err, head, tt.want)
			}
		})
	}
	other := pods(nil, nil)
	_, err := api.LocalSubjectAccessReviews("kube-system").Create(t.Context(), &authorizationv1.LocalSubjectAccessReview{Spec: other}, metav1.CreateOptions{})
	if want := head + `spec.resourceAttributes.namespace: Invalid value: "default": must match metadata.namespace`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = api.SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{FieldSelector: &authorizationv1.FieldSelectorAttributes{}}}}, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.resourceAttributes.fieldSelector.requirements: Required value") {
		t.Errorf("one's own access: %v", err)
	}
}

// Reviews that answer the question with the question tell who asked it; those that
// are made anew do not.
func TestManagedFieldsOfReviews(t *testing.T) {
	c := kubernetesCluster(t)
	cfg := rest.CopyConfig(c.Admin())
	cfg.UserAgent = "asker/1.0"
	client := kerneltest.Client(t, cfg)
	ctx, o := t.Context(), metav1.CreateOptions{}
	pods := &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Namespace: "default"}
	access, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "ann", ResourceAttributes: pods}}, o)
	self, err2 := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: pods}}, o)
	token, err3 := client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "x"}}, o)
	rules, err4 := client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"}}, o)
	me, err5 := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, o)
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	for name, fields := range map[string][]metav1.ManagedFieldsEntry{"access": access.ManagedFields, "self": self.ManagedFields, "token": token.ManagedFields} {
		if len(fields) != 1 || fields[0].Manager != "asker" || fields[0].Operation != metav1.ManagedFieldsOperationUpdate || !strings.Contains(string(fields[0].FieldsV1.GetRawBytes()), `"f:spec"`) {
			t.Errorf("%s: managed fields %+v", name, fields)
		}
	}
	if len(rules.ManagedFields) != 0 || rules.Spec.Namespace != "" || len(rules.Status.ResourceRules) == 0 {
		t.Errorf("rules: %+v", rules)
	}
	if len(me.ManagedFields) != 0 || me.CreationTimestamp.IsZero() || me.Status.UserInfo.Username == "" {
		t.Errorf("myself: %+v", me)
	}
}

// ask posts a review as it is and returns the answer's JSON, for what clients' types
// would hide.
func ask(t *testing.T, c *kerneltest.Server, path, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, c.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnswersHaveAKind(t *testing.T) {
	c := kubernetesCluster(t)
	for path, body := range map[string]string{
		"/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": `{"spec":{"namespace":"default"}}`,
		"/apis/authentication.k8s.io/v1/selfsubjectreviews":     `{}`,
	} {
		got := ask(t, c, path, body)
		if want := path[strings.LastIndex(path, "/")+1:]; strings.ToLower(got["kind"].(string))+"s" != want {
			t.Errorf("%s: a %v", path, got["kind"])
		}
	}
}
