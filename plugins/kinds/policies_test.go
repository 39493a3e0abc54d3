package kinds_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// governed is a control plane of the real kinds with an administrator's client that
// keeps the warnings it gets.
type governed struct {
	*kerneltest.Server
	*kubernetes.Clientset
	warnings []string
}

func (g *governed) HandleWarningHeader(_ int, _, text string) { g.warnings = append(g.warnings, text) }

func newGoverned(t testing.TB) *governed { return newGovernedBy(t, nil) }

func newGovernedBy(t testing.TB, config func(*kernel.Config)) *governed {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	g := &governed{Server: kerneltest.Start(t, kerneltest.Options{Table: table, Config: config})}
	cfg := rest.CopyConfig(g.Admin())
	cfg.WarningHandler = g
	g.Clientset = kerneltest.Client(t, cfg)
	return g
}

// policy makes a policy and a binding of its name; each in YAML without what all have.
func (g *governed) policy(t testing.TB, name, spec, binding string) {
	t.Helper()
	p := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	b := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name + "-binding"}}
	parse(t, spec, &p.Spec)
	parse(t, binding, &b.Spec)
	b.Spec.PolicyName = name
	if len(b.Spec.ValidationActions) == 0 {
		b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Deny}
	}
	api := g.AdmissionregistrationV1()
	if _, err := api.ValidatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ValidatingAdmissionPolicyBindings().Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = api.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{})
		_ = api.ValidatingAdmissionPolicyBindings().Delete(ctx, name+"-binding", metav1.DeleteOptions{})
	})
}

func parse(t testing.TB, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// until asks until the answer is as wanted: objects are obeyed a moment after they
// were written.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 seconds", what)
		}
	}
}

var dry = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

// configMap tries to make one in a namespace.
func (g *governed) configMap(ctx context.Context, namespace, name string, labels, data map[string]string) error {
	_, err := g.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: data}, dry)
	return err
}

// words is what a client reads of an error.
func words(err error) string {
	if err == nil {
		return "ok"
	}
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		return err.Error()
	}
	s := status.Status()
	return fmt.Sprintf("%d %s %s", s.Code, s.Reason, s.Message)
}

const configMaps = `
matchConstraints:
  resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
`

func TestValidatingPolicies(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	namespace := func(name, tier string) {
		if _, err := g.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tier": tier}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	namespace("gold", "gold")
	namespace("lead", "lead")
	if _, err := g.CoreV1().ConfigMaps("gold").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "limits", Labels: map[string]string{"limits": "yes"}}, Data: map[string]string{"max": "2"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	big := map[string]string{"a": "1", "b": "2", "c": "3"}
	const denied = "ValidatingAdmissionPolicy 'p' with binding 'p-binding' denied request: "
	const invalid = "422 Invalid configmaps \"x\" is forbidden: " + denied
	for _, tc := range []struct {
		name, spec, binding string
		namespace           string
		labels, data        map[string]string
		want                string
		passes              map[string]string // data of a config map that passes; nil: nothing does
	}{
		{name: "the expression is the message", spec: configMaps + `validations: [{expression: "object.data.size() < 3"}]`,
			data: big, want: invalid + "failed expression: object.data.size() < 3", passes: map[string]string{"a": "1"}},
		{name: "message and reason", spec: configMaps + `validations: [{expression: "object.data.size() < 3", message: too big, reason: RequestEntityTooLarge}]`,
			data: big, want: "413 RequestEntityTooLarge configmaps \"x\" is forbidden: " + denied + "too big"},
		{name: "messageExpression and variables", spec: configMaps + `
variables: [{name: size, expression: object.data.size()}]
validations: [{expression: variables.size < 3, messageExpression: "'has ' + string(variables.size) + ' entries'"}]`,
			data: big, want: invalid + "has 3 entries"},
		{name: "namespaceObject", spec: configMaps + `validations: [{expression: "namespaceObject.metadata.labels.tier == 'gold'"}]`,
			namespace: "lead", data: big, want: invalid + "failed expression: namespaceObject.metadata.labels.tier == 'gold'"},
		{name: "request and the authorizer", spec: configMaps + `validations: [{expression: "request.userInfo.username != 'kubernetes-admin' || !authorizer.group('').resource('pods').check('create').allowed()", message: no admins}]`,
			data: big, want: invalid + "no admins"},
		{name: "match conditions", spec: configMaps + `
matchConditions: [{name: big, expression: "object.data.size() > 2"}]
validations: [{expression: "false", message: never}]`,
			data: big, want: invalid + "never", passes: map[string]string{"a": "1"}},
		{name: "object selector", spec: `
matchConstraints:
  objectSelector: {matchLabels: {judged: "yes"}}
  resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}]
validations: [{expression: "false", message: never}]`,
			labels: map[string]string{"judged": "yes"}, want: invalid + "never", passes: map[string]string{"a": "1"}},
		{name: "selector of the binding", spec: configMaps + `validations: [{expression: "false", message: never}]`,
			binding:   `matchResources: {namespaceSelector: {matchLabels: {tier: lead}}}`,
			namespace: "lead", want: invalid + "never"},
		{name: "a runtime error denies", spec: configMaps + `validations: [{expression: "object.data.missing == 'x'"}]`,
			data: big, want: invalid + "expression 'object.data.missing == 'x'' resulted in error: no such key: missing"},
		{name: "cost is bounded", spec: configMaps + `
variables: [{name: l, expression: "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"}]
validations: [{expression: "variables.l.all(a, variables.l.all(b, variables.l.all(c, variables.l.all(d, variables.l.all(e, a + b + c + d + e > 0)))))"}]`,
			data: big, want: invalid + "expression 'variables.l.all(a, variables.l.all(b, variables.l.all(c, variables.l.all(d, variables.l.all(e, a + b + c + d + e > 0)))))' resulted in error: operation cancelled: actual cost limit exceeded"},
		{name: "params by name", spec: configMaps + `
paramKind: {apiVersion: v1, kind: ConfigMap}
validations: [{expression: "object.data.size() <= int(params.data.max)", messageExpression: "'more than ' + params.data.max"}]`,
			binding: `paramRef: {name: limits, namespace: gold, parameterNotFoundAction: Deny}`,
			data:    big, want: invalid + "more than 2", passes: map[string]string{"a": "1"}},
		{name: "params by selector, in the request's namespace", spec: configMaps + `
paramKind: {apiVersion: v1, kind: ConfigMap}
validations: [{expression: "object.data.size() <= int(params.data.max)", messageExpression: "'more than ' + params.data.max"}]`,
			binding:   `paramRef: {selector: {matchLabels: {limits: "yes"}}, parameterNotFoundAction: Deny}`,
			namespace: "gold", data: big, want: invalid + "more than 2", passes: map[string]string{"a": "1"}},
		{name: "params that are not there", spec: configMaps + `
paramKind: {apiVersion: v1, kind: ConfigMap}
validations: [{expression: "true"}]`,
			binding: `paramRef: {name: nothing, namespace: gold, parameterNotFoundAction: Deny}`,
			data:    big, want: invalid + "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"},
		{name: "a kind of params that is not there", spec: configMaps + `
paramKind: {apiVersion: example.com/v1, kind: Limit}
validations: [{expression: "true"}]`,
			binding: `paramRef: {name: nothing, parameterNotFoundAction: Allow}`,
			data:    big, want: "422 Invalid configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.namespace == "" {
				tc.namespace = "default"
			}
			g.policy(t, "p", tc.spec, tc.binding)
			var got string
			until(t, "denied", func() bool {
				got = words(g.configMap(ctx, tc.namespace, "x", tc.labels, tc.data))
				return got != "ok"
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if tc.passes != nil {
				if err := g.configMap(ctx, tc.namespace, "x", nil, tc.passes); err != nil {
					t.Errorf("one that passes: %v", err)
				}
			}
		})
		until(t, "the policy is gone", func() bool { return g.configMap(ctx, tc.namespace, "x", tc.labels, tc.data) == nil })
	}
}

// What a policy that fails, warns or audits does to a request.
func TestPolicyActions(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	g.policy(t, "warns", configMaps+`validations: [{expression: "false", message: do not}]`, `validationActions: [Warn, Audit]`)
	g.policy(t, "ignores", configMaps+`
failurePolicy: Ignore
validations: [{expression: "object.data.missing == 'x'"}]`, "")
	until(t, "warned", func() bool {
		g.warnings = nil
		if err := g.configMap(ctx, "default", "x", nil, map[string]string{"a": "b"}); err != nil {
			t.Fatal(err)
		}
		return len(g.warnings) > 0
	})
	if diff := cmp.Diff([]string{"Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns-binding': do not"}, g.warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A policy that refuses everything can be removed, and the server's own objects are
// none of its business.
func TestLockedOut(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	g.policy(t, "nothing", `
matchConstraints: {resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*/*"]}]}
validations: [{expression: "false"}]`, "")
	until(t, "denied", func() bool { return g.configMap(ctx, "default", "x", nil, nil) != nil })
	if _, err := g.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{}); err == nil {
		t.Error("a pod was let in")
	}
	if _, err := g.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &selfReview, metav1.CreateOptions{}); err != nil {
		t.Errorf("a review: %v", err)
	}
	if err := g.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(ctx, "nothing", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "free", func() bool { return g.configMap(ctx, "default", "x", nil, nil) == nil })
}

// What policies see of writes that are not of the object itself, or of another
// version.
func TestPoliciesSeeWhatClientsWrite(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	one := int32(1)
	labels := map[string]string{"a": "b"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	must(g.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"},
		Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}}, metav1.CreateOptions{}))
	g.policy(t, "p", `
matchConstraints:
  matchPolicy: Equivalent
  resourceRules:
  - {apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments/scale]}
  - {apiGroups: [autoscaling], apiVersions: [v1], operations: [CREATE], resources: [horizontalpodautoscalers]}
  - {apiGroups: [""], apiVersions: [v1], operations: [DELETE], resources: [configmaps]}
  - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [namespaces]}
validations:
- expression: "request.kind.kind != 'Scale' || object.spec.replicas <= 2 && oldObject.spec.replicas == 1"
  message: scale
- expression: "request.resource.resource != 'horizontalpodautoscalers' || object.apiVersion == 'autoscaling/v1' && request.requestResource.version == 'v2' && request.requestKind.version == 'v2'"
  message: autoscaler
- expression: "request.operation != 'DELETE' || object == null && oldObject.metadata.name != 'kept' && request.options.kind == 'DeleteOptions'"
  message: deletion
- expression: "request.resource.resource != 'namespaces' || request.namespace == request.name && object.metadata.name != 'refused' && request.options.fieldManager == 'me'"
  message: namespace
`, "")
	must(g.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{}))
	must(g.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "gone"}}, metav1.CreateOptions{}))
	scale := func(n int32) error {
		_, err := g.AppsV1().Deployments("default").UpdateScale(ctx, "d", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}, Spec: autoscalingv1.ScaleSpec{Replicas: n}}, metav1.UpdateOptions{DryRun: dry.DryRun})
		return err
	}
	wantDenied := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.HasSuffix(err.Error(), "denied request: "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	until(t, "in force", func() bool { return scale(3) != nil })
	wantDenied("scale", scale(3))
	must(nil, scale(2))
	_, err := g.AutoscalingV2().HorizontalPodAutoscalers("default").Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "d", APIVersion: "apps/v1"}}}, metav1.CreateOptions{})
	must(nil, err)
	wantDenied("deletion", g.CoreV1().ConfigMaps("default").Delete(ctx, "kept", metav1.DeleteOptions{}))
	must(nil, g.CoreV1().ConfigMaps("default").Delete(ctx, "gone", metav1.DeleteOptions{}))
	ns := func(name string) error {
		_, err := g.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{FieldManager: "me"})
		return err
	}
	wantDenied("namespace", ns("refused"))
	must(nil, ns("let-in"))
}

// TestTypeChecking: the status says what is wrong with the types of a policy.
func TestTypeChecking(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	g.policy(t, "typed", `
matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]}
validations: [{expression: "object.spec.replicas > 1"}, {expression: "object.foo == 'x'", messageExpression: object.spec.replicas + 'x'}]`, "")
	var p *admissionv1.ValidatingAdmissionPolicy
	until(t, "the status", func() bool {
		var err error
		if p, err = g.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, "typed", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		return p.Status.ObservedGeneration == p.Generation
	})
	if p.Status.TypeChecking == nil || len(p.Status.TypeChecking.ExpressionWarnings) != 2 {
		t.Fatalf("type checking %+v", p.Status.TypeChecking)
	}
	if w := p.Status.TypeChecking.ExpressionWarnings[0]; w.FieldRef != "spec.validations[1].expression" || !strings.Contains(w.Warning, "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'foo'") {
		t.Errorf("%+v", w)
	}
	if _, err := g.AdmissionregistrationV1().ValidatingAdmissionPolicies().Patch(ctx, "typed", types.JSONPatchType, []byte(`[{"op":"remove","path":"/spec/validations/1"}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "checked again", func() bool {
		p, err := g.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, "typed", metav1.GetOptions{})
		return err == nil && p.Status.ObservedGeneration == 2 && (p.Status.TypeChecking == nil || len(p.Status.TypeChecking.ExpressionWarnings) == 0)
	})
}

// TestParameterAccess: whoever names parameters may read them.
func TestParameterAccess(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	_, err := g.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "author"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"*"}},
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = g.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "author"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "author"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "ann"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ann := kerneltest.Client(t, g.User(t, "ann")).AdmissionregistrationV1()
	policy := func(name, kind string) error {
		p := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		parse(t, configMaps+"validations: [{expression: 'true'}]\nparamKind: {apiVersion: v1, kind: "+kind+"}", &p.Spec)
		_, err := ann.ValidatingAdmissionPolicies().Create(ctx, p, metav1.CreateOptions{})
		return err
	}
	binding := func(name, policy, ref string) error {
		b := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
		parse(t, "validationActions: [Deny]\npolicyName: "+policy+"\nparamRef: {parameterNotFoundAction: Deny, "+ref+"}", &b.Spec)
		_, err := ann.ValidatingAdmissionPolicyBindings().Create(ctx, b, metav1.CreateOptions{})
		return err
	}
	if err := policy("maps", "ConfigMap"); err != nil {
		t.Errorf("what she may read: %v", err)
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{policy("secrets", "Secret"), `spec.paramKind: Forbidden: user`},
		{binding("list", "maps", "selector: {}"), `does not have "list" permission on the object referenced by paramRef`},
		{binding("none", "missing", "name: x"), `unable to get policy missing to determine minimum required permissions`},
		{binding("get", "maps", "name: x"), ""},
	} {
		if tc.want == "" != (tc.err == nil) || tc.err != nil && !strings.Contains(tc.err.Error(), tc.want) {
			t.Errorf("%v, want %q", tc.err, tc.want)
		}
	}
}

var selfReview = authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
	ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods"}}}
