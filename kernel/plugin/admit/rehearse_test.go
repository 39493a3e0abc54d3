package admit_test

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk"
	sdkadmission "github.com/pintle-io/pintle/sdk/admission"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "refuses", New: func([]byte) (sdk.Points, error) {
		return &sdkadmission.Points{
			Validate: func(r *sdkadmission.Review) error { r.Warn("a word"); return r.Deny("no") },
			Match:    []sdkadmission.MatchRule{{Resources: []string{"v1/pods"}}},
		}, nil
	}})
}

// TestRehearsal: a policy that decides nothing is counted by what it said, and
// in Shadow nobody hears of it, of its warnings neither.
func TestRehearsal(t *testing.T) {
	for mode, want := range map[v1alpha1.Mode][]string{
		v1alpha1.Shadow:  nil,
		v1alpha1.Monitor: {"a word", `admission policy "p" (monitor): no`},
		v1alpha1.Enforce: {"a word"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			metrics := prometheus.NewRegistry()
			chain := &admission.Chain{}
			sink := admit.New(admit.Config{Chain: chain, Metrics: metrics})
			p, err := plugin.Load(t.Context(), plugin.PluginConfig{Name: "refuses", Host: native.Host{}, Spec: v1alpha1.PluginSpec{Mode: mode},
				Options: plugin.OpenOptions{Name: "refuses"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := sink.Set(t.Context(), "p", p); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sink.Remove("p") })
			var heard []string
			err = chain.Validate(t.Context(), &admission.Attributes{Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("pods"),
				Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Namespace: "default", Name: "web", Object: benchPod(),
				Warnings: func(m string) { heard = append(heard, m) }})
			if refused := err != nil; refused != (mode == v1alpha1.Enforce) {
				t.Errorf("the answer is %v", err)
			}
			if !slices.Equal(heard, want) {
				t.Errorf("warnings %q, want %q", heard, want)
			}
			families, err := metrics.Gather()
			if err != nil {
				t.Fatal(err)
			}
			if counted := len(families) == 1 && families[0].GetMetric()[0].GetCounter().GetValue() == 1; counted != (mode != v1alpha1.Enforce) {
				t.Errorf("counted: %v", families)
			}
		})
	}
}
