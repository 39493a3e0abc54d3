package registry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry"
)

// What rules are asked, write by write.
func TestRulesSeeEveryWrite(t *testing.T) {
	c := newCluster(t)
	var seen []string
	note := func(phase string) func(context.Context, *admission.Attributes) error {
		return func(_ context.Context, a *admission.Attributes) error {
			what := phase + " " + string(a.Operation) + " " + a.Resource.Resource
			if a.Subresource != "" {
				what += "/" + a.Subresource
			}
			what += " " + a.Kind.Kind + " " + a.Namespace + "/" + a.Name
			if a.Object == nil {
				what += " no object"
			}
			if a.Old == nil {
				what += " no old"
			}
			if a.DryRun {
				what += " dry"
			}
			if a.User != nil {
				what += " by " + a.User.GetName()
			}
			seen = append(seen, what)
			return nil
		}
	}
	c.chain.Set("note", 0, admission.Rule{Mutate: admission.MutatorFunc(note("M")), Validate: admission.ValidatorFunc(note("V"))})
	alice, ctx := c.As(&user.DefaultInfo{Name: "alice"}), t.Context()
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	gen := pod("")
	gen.GenerateName = "g-"
	do(alice.Create(ctx, at(podsR, ""), pod("p"), registry.WriteOptions{}))
	do(alice.Create(ctx, at(podsR, ""), gen, registry.WriteOptions{DryRun: true}))
	do(alice.Patch(ctx, sub(podsR, "p", "status"), types.MergePatchType, []byte(`{"status":{"message":"m"}}`), registry.WriteOptions{}))
	do(alice.Create(ctx, sub(podsR, "p", "binding"), binding("p", "n"), registry.WriteOptions{}))
	do(alice.Patch(ctx, at(configMapsR, "x"), types.ApplyYAMLPatchType, []byte(mapConfig("{a: b}")), registry.WriteOptions{FieldManager: "m", MayCreate: anybody}))
	do(alice.Delete(ctx, at(podsR, "p"), metav1.DeleteOptions{}))
	want := []string{
		"M CREATE pods Pod default/p no old by alice", "V CREATE pods Pod default/p no old by alice",
		"M CREATE pods Pod default/ no old dry by alice", "V CREATE pods Pod default/g-? no old dry by alice",
		"M UPDATE pods/status Pod default/p by alice", "V UPDATE pods/status Pod default/p by alice",
		"M CREATE pods/binding Binding default/p no old by alice", "V CREATE pods/binding Binding default/p no old by alice",
		"M CREATE configmaps ConfigMap default/x no old by alice", "V CREATE configmaps ConfigMap default/x no old by alice",
		"M DELETE pods Pod default/p no object by alice", "V DELETE pods Pod default/p no object by alice",
	}
	for i := range seen {
		if strings.HasPrefix(seen[i], "V CREATE pods Pod default/g-") { // the name is drawn by then
			seen[i] = "V CREATE pods Pod default/g-? no old dry by alice"
		}
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMutationIsDefaultedAndOwned(t *testing.T) {
	c := newCluster(t)
	c.chain.Set("bare", 0, admission.Rule{
		Match: admission.Match{Resources: []string{"pods"}},
		Mutate: admission.MutatorFunc(func(_ context.Context, a *admission.Attributes) error {
			if a.Operation == admission.Delete {
				return nil
			}
			p := a.Object.(*corev1.Pod)
			p.Spec.RestartPolicy = "" // a default must come back
			p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "broken"}}
			return nil
		}),
	})
	res, err := c.Create(t.Context(), at(podsR, ""), pod("p"), registry.WriteOptions{FieldManager: "me"})
	if err != nil {
		t.Fatal(err)
	}
	p := res.Object.Obj.(*corev1.Pod)
	if p.Spec.RestartPolicy != corev1.RestartPolicyAlways || managers(p) != "me Update v1 " {
		t.Errorf("restartPolicy %q, managers %q", p.Spec.RestartPolicy, managers(p))
	}
	if len(res.Warnings) != 1 || !strings.HasPrefix(res.Warnings[0], ".metadata.managedFields was in an invalid state after admission") {
		t.Errorf("warnings %q", res.Warnings)
	}
}

func TestRefusedWritesAreNotWritten(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("p"))
	c.chain.Set("no-latest", 0, admission.Rule{
		Match:    admission.Match{Resources: []string{"pods", "pods/binding"}},
		Validate: admission.ValidatorFunc(func(context.Context, *admission.Attributes) error { return admission.Denyf("not today") }),
	})
	before, _ := c.store.counts()
	const text = `admission policy "no-latest" denied the request: not today`
	_, err := c.Create(t.Context(), at(podsR, ""), pod("q"), registry.WriteOptions{})
	wantStatus(t, err, 403, metav1.StatusReasonForbidden, text)
	_, err = c.Patch(t.Context(), at(podsR, "p"), types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), registry.WriteOptions{})
	wantStatus(t, err, 403, metav1.StatusReasonForbidden, text)
	_, err = c.Delete(t.Context(), at(podsR, "p"), metav1.DeleteOptions{})
	wantStatus(t, err, 403, metav1.StatusReasonForbidden, text)
	_, err = c.Create(t.Context(), sub(podsR, "p", "binding"), binding("p", "n"), registry.WriteOptions{})
	wantStatus(t, err, 403, metav1.StatusReasonForbidden, text)
	results, err := c.Batch(t.Context(), []registry.BatchItem{createItem("q"), bindItem("p")}, false)
	if err != nil || !apierrors.IsForbidden(results[0].Err) || !apierrors.IsForbidden(results[1].Err) {
		t.Errorf("batch: %+v, %v", results, err)
	}
	if after, _ := c.store.counts(); after != before {
		t.Error("a refused write reached the store")
	}
}

// Rules see of a write through a projection what the client sees, and may change it.
func TestRulesSeeProjections(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, deploymentsR, deployment("d", 1))
	var seen string
	c.chain.Set("scale", 0, admission.Rule{
		Match: admission.Match{Resources: []string{"deployments/scale"}},
		Mutate: admission.MutatorFunc(func(_ context.Context, a *admission.Attributes) error {
			a.Object.(*autoscalingv1.Scale).Spec.Replicas++
			return nil
		}),
		Validate: admission.ValidatorFunc(func(_ context.Context, a *admission.Attributes) error {
			seen = fmt.Sprint(a.Old.(*autoscalingv1.Scale).Spec.Replicas, " to ", a.Object.(*autoscalingv1.Scale).Spec.Replicas)
			return nil
		}),
	})
	_, err := c.Patch(t.Context(), sub(deploymentsR, "d", "scale"), types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := *c.mustGet(t, deploymentsR, "d").(*appsv1.Deployment).Spec.Replicas; got != 5 || seen != "1 to 5" {
		t.Errorf("%d replicas, the rule saw %s", got, seen)
	}
}
