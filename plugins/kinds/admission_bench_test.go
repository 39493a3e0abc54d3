package kinds_test

import (
	"slices"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

// BenchmarkAdmission is what rules that are objects add to the creation of a pod, in
// the process and without the store: dry runs, since a policy's cost is the same.
func BenchmarkAdmission(b *testing.B) {
	g := newGoverned(b)
	pods := registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: "default"}
	create := func() error {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"app": "x"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry/i:1"}}}}
		_, err := g.Registry.Create(b.Context(), pods, p, registry.WriteOptions{DryRun: true})
		return err
	}
	run := func(name string) {
		until(b, "types are checked, which takes time too", func() bool {
			l, err := g.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(b.Context(), metav1.ListOptions{})
			return err == nil && !slices.ContainsFunc(l.Items, func(p admissionv1.ValidatingAdmissionPolicy) bool { return p.Status.ObservedGeneration != p.Generation })
		})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := create(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	rule := func(res string) string {
		return `
matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [` + res + `]}]}
`
	}
	inForce := func(present bool) {
		until(b, "inForce", func() bool { return (create() != nil) == present })
	}
	run("none")
	g.policy(b, "elsewhere", rule("services")+`validations: [{expression: "false"}]`, "")
	run("policy-of-another-kind")
	// The policy that is measured comes together with one that is seen to come.
	g.policy(b, "images", rule("pods")+`validations: [{expression: "object.spec.containers.all(c, !c.image.endsWith(':latest'))", message: no latest}]`, "")
	g.policy(b, "flag", rule("pods")+`validations: [{expression: "false"}]`, "")
	inForce(true)
	g.drop(b, "flag")
	inForce(false)
	run("one-policy")
	for _, name := range []string{"b", "c", "d", "e", "f", "g", "h", "i"} {
		g.policy(b, name, rule("pods")+`validations: [{expression: "object.spec.containers.all(c, !c.image.endsWith(':latest'))", message: no latest}]`, "")
	}
	g.policy(b, "flag", rule("pods")+`validations: [{expression: "false"}]`, "")
	inForce(true)
	g.drop(b, "flag")
	inForce(false)
	run("nine-policies")
	for _, name := range []string{"images", "b", "c", "d", "e", "f", "g", "h", "i"} {
		g.drop(b, name)
	}
	h := newHookServer(b)
	h.says(func(r *reviewv1.AdmissionReview) any {
		return response(r, func(a *reviewv1.AdmissionResponse) { a.Allowed = false })
	})
	c := validatingHook(h, func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Resources = []string{"pods"} })
	if _, err := g.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(b.Context(), c, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	inForce(true)
	h.says(allow)
	run("one-webhook")
}

func (g *governed) drop(b *testing.B, name string) {
	b.Helper()
	if err := g.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(b.Context(), name, metav1.DeleteOptions{}); err != nil {
		b.Fatal(err)
	}
	if err := g.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(b.Context(), name+"-binding", metav1.DeleteOptions{}); err != nil {
		b.Fatal(err)
	}
}
