package kinds

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/resource"
)

// unattended are the kinds that are stored, validated and watched, but that
// nothing of what ships acts on. Who creates one is told so, once.
var unattended = map[string]bool{
	"statefulsets.apps": true, "daemonsets.apps": true, "jobs.batch": true, "cronjobs.batch": true,
	"replicationcontrollers": true, "horizontalpodautoscalers.autoscaling": true, "poddisruptionbudgets.policy": true,
	"ingresses.networking.k8s.io": true, "networkpolicies.networking.k8s.io": true,
	"resourcequotas": true, "limitranges": true,
	"validatingadmissionpolicies.admissionregistration.k8s.io": true, "validatingwebhookconfigurations.admissionregistration.k8s.io": true,
	"mutatingadmissionpolicies.admissionregistration.k8s.io": true, "mutatingwebhookconfigurations.admissionregistration.k8s.io": true,
	"customresourcedefinitions.apiextensions.k8s.io": true, "apiservices.apiregistration.k8s.io": true,
}

// warnUnattended adds the warning to the kinds that need it.
func warnUnattended(kinds []*resource.Definition) {
	for _, d := range kinds {
		if !unattended[d.GroupResource().String()] {
			continue
		}
		text := fmt.Sprintf("%s is stored, but nothing that ships with Pintle acts on it yet; a plugin of yours may (docs/limits.md)", d.Kind)
		inner := d.Strategy.Warnings
		d.Strategy.Warnings = func(ctx context.Context, obj, old runtime.Object) (out []string) {
			if old == nil {
				out = append(out, text)
			}
			if inner != nil {
				out = append(out, inner(ctx, obj, old)...)
			}
			return out
		}
	}
}
