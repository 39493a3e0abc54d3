package status_test

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/status"
)

// TestConditionsAreOwned: what the node sets, it takes back; a condition that is not
// owned would stay as it was when it was set, and stand there twice.
func TestConditionsAreOwned(t *testing.T) {
	for name, yes := range map[string]bool{"nothing holds": false, "everything holds": true} {
		in := status.Input{Pod: pod(), Observed: &state.Pod{}, Now: now, Health: func(string) status.Health { return status.Health{} },
			Plan: plan.Plan{Restarting: yes}, Pending: &resize.Condition{}, Resizing: &resize.Condition{}}
		in.Pod.Spec.Volumes = []corev1.Volume{{Name: "v"}}
		in.Pod.Spec.Containers[0].RestartPolicyRules = []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestartAllContainers}}
		v := reflect.ValueOf(&in).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.Bool && v.Type().Field(i).Name != "Ended" {
				f.SetBool(yes)
			}
		}
		seen := map[corev1.PodConditionType]bool{}
		for _, c := range status.Make(in).Conditions {
			if !status.Owned(c.Type) {
				t.Errorf("%s: the node sets %s, and owned has not got it", name, c.Type)
			}
			seen[c.Type] = true
		}
		if len(seen) < 8 {
			t.Errorf("%s: only %v are set", name, seen)
		}
	}
}
