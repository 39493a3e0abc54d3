package admit_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk"
	sdkadmission "github.com/pintle-io/pintle/sdk/admission"
	sdkresource "github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/wire"
)

type sdkAmounts = map[string]sdkresource.Quantity

// full is what the rule below refuses for once: as if it had read old totals.
var full bool

func init() {
	sdk.Register(sdk.Plugin{Name: "charges", New: func([]byte) (sdk.Points, error) {
		charge := func(r *sdkadmission.Review) error {
			r.Charge(sdkadmission.Charge{Object: sdkadmission.ObjectRef{Resource: "v1/resourcequotas", Namespace: "default", Name: "q"}, UID: "u",
				Totals: "status.used", Limits: "status.hard", Amounts: sdkAmounts{"pods": "1", "requests.cpu": "300m"}, Bounds: sdkAmounts{"pods": "2", "requests.cpu": "1"}})
			if full {
				full = false
				return r.Forbid("full")
			}
			return nil
		}
		return &sdkadmission.Points{Validate: charge, Match: []sdkadmission.MatchRule{
			{Operations: []sdkadmission.Operation{sdkadmission.Create, sdkadmission.Delete}, Resources: []string{"v1/pods"}}}}, nil
	}})
}

// totals lets a policy charge quotas.
type totals struct {
	refused error
	caught  int
}

func (x *totals) Resource(c *wire.Charge) (schema.GroupResource, error) {
	return schema.GroupResource{Resource: strings.TrimPrefix(c.Resource, "v1/")}, x.refused
}

func (x *totals) CatchUp(context.Context) error { x.caught++; return nil }

// charged asks the rule about a pod.
func charged(t *testing.T, mode v1alpha1.Mode, x admit.Totals, op admission.Operation) ([]admission.Charge, error) {
	t.Helper()
	chain := &admission.Chain{}
	sink := admit.New(admit.Config{Chain: chain, Totals: func(string, *plugin.Plugin) admit.Totals { return x }})
	p, err := plugin.Load(t.Context(), plugin.PluginConfig{Name: "charges", Host: native.Host{}, Spec: v1alpha1.PluginSpec{Mode: mode}, Options: plugin.OpenOptions{Name: "charges"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Set(t.Context(), "p", p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Remove("p") })
	a := &admission.Attributes{Operation: op, Resource: corev1.SchemeGroupVersion.WithResource("pods"), Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Namespace: "default", Name: "web", Object: benchPod()}
	err = chain.Validate(t.Context(), a)
	return a.Charges(), err
}

func TestCharge(t *testing.T) {
	charges, err := charged(t, v1alpha1.Enforce, &totals{}, admission.Create)
	if err != nil || len(charges) != 1 || charges[0].Resource.Resource != "resourcequotas" || charges[0].Namespace != "default" || charges[0].Name != "q" {
		t.Fatalf("charges %+v, %v", charges, err)
	}
	quota := func(change func(*corev1.ResourceQuota)) *corev1.ResourceQuota {
		q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "q", UID: "u", ResourceVersion: "7"}, Status: corev1.ResourceQuotaStatus{
			Hard: corev1.ResourceList{"pods": resource.MustParse("2"), "requests.cpu": resource.MustParse("1000m")},
			Used: corev1.ResourceList{"pods": resource.MustParse("1"), "requests.cpu": resource.MustParse("700m"), "other": resource.MustParse("5")}}}
		if change != nil {
			change(q)
		}
		return q
	}
	for name, tc := range map[string]struct {
		change func(*corev1.ResourceQuota)
		want   string
	}{
		"fits":               {nil, ""},
		"beyond all sums":    {func(q *corev1.ResourceQuota) { q.Status.Used["pods"] = resource.MustParse("1e2000000000") }, "exponent is beyond"},
		"one too many":       {func(q *corev1.ResourceQuota) { q.Status.Used["pods"] = resource.MustParse("2") }, "has 2 of pods, and 3 would be used"},
		"too much":           {func(q *corev1.ResourceQuota) { q.Status.Used["requests.cpu"] = resource.MustParse("701m") }, "has 1 of requests.cpu, and 1001m would be used"},
		"of another limit":   {func(q *corev1.ResourceQuota) { q.Status.Hard["pods"] = resource.MustParse("9") }, "limits of v1/resourcequotas q have changed"},
		"with one more":      {func(q *corev1.ResourceQuota) { q.Status.Hard["secrets"] = resource.MustParse("9") }, "limits of v1/resourcequotas q have changed"},
		"without a total":    {func(q *corev1.ResourceQuota) { delete(q.Status.Used, "pods") }, "has no total of pods"},
		"another object":     {func(q *corev1.ResourceQuota) { q.UID = "v" }, "is another object than before"},
		"nothing worked out": {func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} }, "limits of v1/resourcequotas q have changed"},
	} {
		was := quota(tc.change)
		before := was.DeepCopy()
		got, err := charges[0].Apply(was)
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v, want %s", name, err, tc.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		used := got.(*corev1.ResourceQuota).Status.Used
		if pods, cpu, other := used["pods"], used["requests.cpu"], used["other"]; pods.String() != "2" || cpu.String() != "1" || other.String() != "5" {
			t.Errorf("%s: used %v", name, used)
		}
		if was.Status.Used.Pods().Cmp(*before.Status.Used.Pods()) != 0 || got.(*corev1.ResourceQuota).ResourceVersion != "7" {
			t.Errorf("%s: the object before was modified", name)
		}
	}
	// An object of a kind without Go types of its own.
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": map[string]any{"uid": "u"}, "status": map[string]any{
		"hard": map[string]any{"pods": "2", "requests.cpu": "1"}, "used": map[string]any{"pods": "0", "requests.cpu": "0"}}}}
	got, err := charges[0].Apply(u)
	if err != nil {
		t.Fatal(err)
	}
	if cpu, _, _ := unstructured.NestedString(tree(t, got), "status", "used", "requests.cpu"); cpu != "300m" {
		t.Errorf("used %q of cpu", cpu)
	}
}

func tree(t *testing.T, obj runtime.Object) map[string]any {
	t.Helper()
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		t.Fatalf("got %T", obj)
	}
	return u.Object
}

// TestChargeIsRefused: who may not charge, or at a deletion, has failed; who decides
// nothing charges nothing.
func TestChargeIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		mode v1alpha1.Mode
		x    admit.Totals
		op   admission.Operation
		want string
	}{
		"no permission":    {v1alpha1.Enforce, &totals{refused: errors.New("may not update resourcequotas/status")}, admission.Create, "may not update"},
		"a deletion":       {v1alpha1.Enforce, &totals{}, admission.Delete, "of a creation or an update"},
		"charges nowhere":  {v1alpha1.Enforce, nil, admission.Create, "it charges v1/resourcequotas"},
		"only monitoring":  {v1alpha1.Monitor, &totals{}, admission.Create, ""},
		"only in a shadow": {v1alpha1.Shadow, &totals{refused: errors.New("no")}, admission.Create, ""},
	} {
		charges, err := charged(t, tc.mode, tc.x, tc.op)
		if len(charges) > 0 || (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %d charges, %v, want %q", name, len(charges), err, tc.want)
		}
	}
}

// TestRefusalWithCharges is asked for again when the server knows the newest totals.
func TestRefusalWithCharges(t *testing.T) {
	full = true
	x := &totals{}
	charges, err := charged(t, v1alpha1.Enforce, x, admission.Create)
	if err != nil || len(charges) != 1 || x.caught != 1 {
		t.Errorf("%d charges, caught up %d times, %v", len(charges), x.caught, err)
	}
	if apierrors.IsForbidden(err) {
		t.Error("the refusal of old totals stood")
	}
}
