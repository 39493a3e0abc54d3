package kinds_test

import (
	"strings"
	"testing"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestUnattendedKindsWarn(t *testing.T) {
	for name, want := range map[string]bool{
		"statefulsets.apps": true, "daemonsets.apps": true, "jobs.batch": true, "cronjobs.batch": true, "replicationcontrollers": true,
		"horizontalpodautoscalers.autoscaling": true, "poddisruptionbudgets.policy": true, "resourcequotas": true, "limitranges": true,
		"ingresses.networking.k8s.io": true, "networkpolicies.networking.k8s.io": true,
		"validatingadmissionpolicies.admissionregistration.k8s.io": true, "mutatingwebhookconfigurations.admissionregistration.k8s.io": true,
		"deployments.apps": false, "configmaps": false, "pods": false,
	} {
		d := kindtest.Definition(t, name)
		obj, err := kindtest.Table(t).Scheme.New(d.Hub())
		if err != nil {
			t.Fatal(err)
		}
		count := func(warnings []string) (n int) {
			for _, w := range warnings {
				if strings.HasPrefix(w, d.Kind+" is stored, but nothing") {
					n++
				}
			}
			return n
		}
		var created, updated int
		if d.Strategy.Warnings != nil {
			created, updated = count(d.Strategy.Warnings(t.Context(), obj, nil)), count(d.Strategy.Warnings(t.Context(), obj, obj))
		}
		if created == 1 != want || updated != 0 {
			t.Errorf("%s: %d warnings on create and %d on update, want one on create: %t", name, created, updated, want)
		}
	}
}
