package admission_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pintle-io/pintle/kernel/admission"
)

// counted lists the series of a metric with their counts: "name=a operation=CREATE … 2".
func counted(t *testing.T, m *admission.Metrics, metric string) (out []string) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(m)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "apiserver_admission_"+metric {
			continue
		}
		for _, s := range f.Metric {
			var b strings.Builder
			for _, l := range s.Label {
				fmt.Fprintf(&b, "%s=%s ", l.GetName(), l.GetValue())
			}
			out = append(out, fmt.Sprint(b.String(), s.GetHistogram().GetSampleCount()+s.GetSummary().GetSampleCount()))
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	c := admission.Chain{Metrics: admission.NewMetrics()}
	if problems, err := testutil.CollectAndLint(c.Metrics); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	no := admission.ValidatorFunc(func(_ context.Context, a *admission.Attributes) error {
		if a.Name == "bad" {
			return errors.New("no")
		}
		return nil
	})
	broken := admission.ValidatorFunc(func(context.Context, *admission.Attributes) error { panic("broken") })
	c.Set("label", 0, label("a"))
	c.Set("refuses", 1, admission.Rule{Validate: no})
	c.Set("broken", 2, admission.Rule{Validate: broken, Failure: admission.Ignore, Policy: true})
	c.Set("elsewhere", 3, admission.Rule{Validate: no, Match: admission.Match{Resources: []string{"nodes"}}})
	ask := func(op admission.Operation, name string) {
		a := request()
		a.Operation, a.Name = op, name
		if err := c.Mutate(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(t.Context(), a); (err != nil) != (name == "bad") {
			t.Errorf("%s %s: %v", op, name, err)
		}
	}
	ask(admission.Create, "good")
	ask(admission.Create, "bad")
	ask(admission.Update, "good")
	for metric, want := range map[string][]string{
		"controller_admission_duration_seconds": {
			"name=broken operation=CREATE rejected=false type=validate 1", "name=broken operation=UPDATE rejected=false type=validate 1",
			"name=label operation=CREATE rejected=false type=admit 2", "name=label operation=UPDATE rejected=false type=admit 1",
			"name=refuses operation=CREATE rejected=false type=validate 1", "name=refuses operation=CREATE rejected=true type=validate 1", "name=refuses operation=UPDATE rejected=false type=validate 1",
		},
		"step_admission_duration_seconds": {
			"operation=CREATE rejected=false type=admit 2", "operation=CREATE rejected=false type=validate 1", "operation=CREATE rejected=true type=validate 1",
			"operation=UPDATE rejected=false type=admit 1", "operation=UPDATE rejected=false type=validate 1",
		},
		"step_admission_duration_seconds_summary": {
			"operation=CREATE rejected=false type=admit 2", "operation=CREATE rejected=false type=validate 1", "operation=CREATE rejected=true type=validate 1",
			"operation=UPDATE rejected=false type=admit 1", "operation=UPDATE rejected=false type=validate 1",
		},
	} {
		if diff := cmp.Diff(want, counted(t, c.Metrics, metric)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", metric, diff)
		}
	}
}

// The series of a rule go with it, unless another of its name stays; another version
// of a rule goes on with them.
func TestMetricsOfRulesThatGo(t *testing.T) {
	c := admission.Chain{Metrics: admission.NewMetrics()}
	count := func() (n int) {
		if err := c.Mutate(t.Context(), request()); err != nil {
			t.Fatal(err)
		}
		return len(counted(t, c.Metrics, "controller_admission_duration_seconds"))
	}
	policy := label("p")
	policy.Policy = true
	c.Set("a", 0, label("a"))
	c.Set("b", 0, label("b"))
	c.Set("b", 0, policy)
	if n := count(); n != 2 {
		t.Errorf("%d series of two names", n)
	}
	c.Set("a", 1, label("a"))
	count()
	if got, want := counted(t, c.Metrics, "controller_admission_duration_seconds")[0], "name=a operation=CREATE rejected=false type=admit 2"; got != want {
		t.Errorf("replaced: %s, want %s", got, want)
	}
	c.Remove("b")
	if n := len(counted(t, c.Metrics, "controller_admission_duration_seconds")); n != 2 {
		t.Errorf("%d series while a policy of the name is there", n)
	}
	c.RemovePolicy("b")
	if n := len(counted(t, c.Metrics, "controller_admission_duration_seconds")); n != 1 {
		t.Errorf("%d series when b is gone", n)
	}
}

// BenchmarkChain is a create as the chain sees it, past rules that take no time.
func BenchmarkChain(b *testing.B) {
	for _, tc := range []struct {
		name string
		m    *admission.Metrics
	}{{"uncounted", nil}, {"counted", admission.NewMetrics()}} {
		b.Run("metrics="+tc.name, func(b *testing.B) {
			c := admission.Chain{Metrics: tc.m}
			yes := admission.ValidatorFunc(func(context.Context, *admission.Attributes) error { return nil })
			for i := range 10 {
				c.Set(fmt.Sprint("rule-", i), i, admission.Rule{Validate: yes})
			}
			a := &admission.Attributes{Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("pods"), Object: &corev1.Pod{}}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Validate(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
