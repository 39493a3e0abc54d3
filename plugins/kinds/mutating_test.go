package kinds_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// mutation is a policy with a binding of its name.
type mutation struct{ name, spec, binding string }

// mutated puts policies in force, the one that says so last, by its name, and takes
// them away again.
func (g *governed) mutated(t *testing.T, list ...mutation) {
	t.Helper()
	policies, bindings := g.AdmissionregistrationV1().MutatingAdmissionPolicies(), g.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	list = append(list, mutation{"zz-flag", `
matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}]}
reinvocationPolicy: Never
mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'flag': 'up'}}}"}}]`, ""})
	for _, m := range list {
		p := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: m.name}}
		b := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: m.name}}
		parse(t, m.spec, &p.Spec)
		parse(t, m.binding, &b.Spec)
		b.Spec.PolicyName = m.name
		if p.Spec.ReinvocationPolicy == "" {
			p.Spec.ReinvocationPolicy = admissionv1.NeverReinvocationPolicy
		}
		if _, err := policies.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := bindings.Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	raised := func(ctx context.Context) bool {
		s, err := g.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, dry)
		if err != nil {
			t.Fatal(err)
		}
		return s.Labels["flag"] == "up"
	}
	until(t, "in force", func() bool { return raised(t.Context()) })
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = policies.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		_ = bindings.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		until(t, "gone", func() bool { return !raised(ctx) })
	})
}

func TestMutatingPolicies(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	if _, err := g.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "params"}, Data: map[string]string{"team": "blue"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apply := func(expression string) string {
		return `mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: "` + expression + `"}}]`
	}
	jsonPatch := func(expression string) string {
		return `mutations: [{patchType: JSONPatch, jsonPatch: {expression: "` + expression + `"}}]`
	}
	// count makes the entry of a name, or adds to it.
	count := func(name string) string {
		return configMaps + "reinvocationPolicy: IfNeeded\n" + apply("Object{data: {'"+name+"': has(object.data) && '"+name+"' in object.data ? object.data['"+name+"'] + 'I' : 'I'}}")
	}
	for _, tc := range []struct {
		name   string
		list   []mutation
		labels map[string]string
		want   string            // of the answer
		data   map[string]string // of the object
		set    map[string]string // labels of the object
	}{
		{name: "an apply configuration", list: []mutation{{"p", configMaps + apply("Object{metadata: Object.metadata{labels: {'a': 'b'}}}"), ""}},
			labels: map[string]string{"mine": "x"}, set: map[string]string{"mine": "x", "a": "b"}, want: "ok"},
		{name: "a JSON patch with variables", list: []mutation{{"p", configMaps + "variables: [{name: who, expression: request.userInfo.username}]\n" +
			jsonPatch("[JSONPatch{op: 'add', path: '/data', value: {'by': variables.who}}]"), ""}}, data: map[string]string{"by": "kubernetes-admin"}, want: "ok"},
		{name: "a test that fails changes nothing", list: []mutation{{"p", configMaps + jsonPatch("[JSONPatch{op: 'test', path: '/kind', value: 'Pod'}, JSONPatch{op: 'add', path: '/data', value: {'a': 'b'}}]"), ""}}, want: "ok"},
		{name: "params", list: []mutation{{"p", configMaps + "paramKind: {apiVersion: v1, kind: ConfigMap}\n" + apply("Object{metadata: Object.metadata{labels: {'team': params.data.team}}}"),
			"paramRef: {name: params, namespace: default, parameterNotFoundAction: Deny}"}}, set: map[string]string{"team": "blue"}, want: "ok"},
		{name: "match conditions", list: []mutation{{"p", configMaps + "matchConditions: [{name: no, expression: \"object.metadata.name == 'other'\"}]\n" + apply("Object{data: {'a': 'b'}}"), ""}}, want: "ok"},
		{name: "one after the other", list: []mutation{{"p", configMaps + apply("Object{data: {'first': 'yes'}}"), ""}, {"q", configMaps + apply("Object{data: {'second': 'after ' + object.data.first}}"), ""}},
			data: map[string]string{"first": "yes", "second": "after yes"}, want: "ok"},
		{name: "again when a later one changed", list: []mutation{{"p", count("p"), ""}, {"q", count("q"), ""}}, data: map[string]string{"p": "II", "q": "II"}, want: "ok"},
		{name: "a runtime error refuses", list: []mutation{{"p", configMaps + apply("Object{data: {'a': object.missing}}"), ""}},
			want: "403 Invalid policy 'p' with binding 'p' denied request: expression 'Object{data: {'a': object.missing}}' resulted in error: no such key: missing"},
		{name: "or not", list: []mutation{{"p", configMaps + "failurePolicy: Ignore\n" + apply("Object{data: {'a': object.missing}}"), ""}}, want: "ok"},
		{name: "what comes of it is validated", list: []mutation{{"p", configMaps + apply("Object{metadata: Object.metadata{labels: {'-': 'b'}}}"), ""}},
			want: `422 Invalid ConfigMap "x" is invalid: metadata.labels: Invalid value: "-": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g.mutated(t, tc.list...)
			m, err := g.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: tc.labels}}, dry)
			if diff := cmp.Diff(tc.want, words(err)); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if err == nil {
				if diff := cmp.Diff(tc.data, m.Data); diff != "" {
					t.Errorf("data (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.set, m.Labels); diff != "" {
					t.Errorf("labels (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What is mutated keeps its type, its version and its defaults, whatever the policy
// saw of it; webhooks come after policies, and have them asked again.
func TestMutatedObjects(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	labels := map[string]string{"a": "b"}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	if _, err := g.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	rule := func(group, version, res string) string {
		return "matchConstraints: {matchPolicy: Equivalent, resourceRules: [{apiGroups: ['" + group + "'], apiVersions: [" + version + "], operations: ['*'], resources: ['" + res + "']}]}\nmutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: \""
	}
	g.mutated(t,
		mutation{"pods", rule("", "v1", "pods") + `Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: 'added', image: 'busybox'}]}}"}}]`, ""},
		mutation{"scale", rule("apps", "v1", "deployments/scale") + `Object{spec: Object.spec{replicas: object.spec.replicas * 2}}"}}]`, ""},
		mutation{"hpa", rule("autoscaling", "v1", "horizontalpodautoscalers") + `Object{spec: Object.spec{targetCPUUtilizationPercentage: 42}}"}}]`, ""},
		mutation{"maps", "reinvocationPolicy: IfNeeded\n" + rule("", "v1", "configmaps") + `Object{data: {'keys': has(object.data) ? string(object.data.size()) : 'none'}}"}}]`, ""})
	p, err := g.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := p.Spec.InitContainers; len(c) != 1 || c[0].ImagePullPolicy != corev1.PullAlways || c[0].TerminationMessagePath == "" {
		t.Errorf("%+v", c)
	}
	if err := g.CoreV1().Pods("default").Delete(ctx, "p", metav1.DeleteOptions{}); err != nil {
		t.Errorf("a deletion: %v", err)
	}
	if _, err := g.AppsV1().Deployments("default").UpdateScale(ctx, "d", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if d, err := g.AppsV1().Deployments("default").Get(ctx, "d", metav1.GetOptions{}); err != nil || *d.Spec.Replicas != 6 {
		t.Errorf("%+v, %v", d, err)
	}
	h, err := g.AutoscalingV2().HorizontalPodAutoscalers("default").Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "d", APIVersion: "apps/v1"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m := h.Spec.Metrics; len(m) != 1 || m[0].Resource == nil || *m[0].Resource.Target.AverageUtilization != 42 {
		t.Errorf("%+v", m)
	}

	hook := newHookServer(t)
	hook.says(func(r *reviewv1.AdmissionReview) any {
		var m corev1.ConfigMap
		if err := json.Unmarshal(r.Request.Object.Raw, &m); err != nil || m.Data["keys"] != "none" {
			t.Errorf("the webhook sees %v, %v", m.Data, err)
		}
		return patch(r, `[{"op":"add","path":"/data/more","value":"x"}]`)
	})
	g.mutates(t, mutatingHook(hook, "a", func(w *admissionv1.MutatingWebhook) {
		w.ReinvocationPolicy = ptr.To(admissionv1.NeverReinvocationPolicy)
	}))
	m, err := g.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, dry)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"keys": "2", "more": "x"}, m.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
