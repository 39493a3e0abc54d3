package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/component-base/metrics/legacyregistry"
)

// kept begin the names of what upstream's libraries count themselves, in a registry
// that is the process's: priority and fairness, calls of webhooks, policies in CEL.
// What else is there this server does not use, or counts itself.
var kept = []string{
	"apiserver_flowcontrol_", "apiserver_admission_webhook_", "apiserver_validating_admission_policy_", "apiserver_mutating_admission_policy_",
	"apiserver_authorization_match_condition_", "apiserver_admission_match_condition_",
}

// libraries gathers what upstream's libraries count.
var libraries = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
	all, err := legacyregistry.DefaultGatherer.Gather()
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool {
		return !slices.ContainsFunc(kept, func(prefix string) bool { return strings.HasPrefix(f.GetName(), prefix) })
	}), err
})
