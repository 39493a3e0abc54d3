// Package podsecurity holds pods to the Pod Security Standards that the labels of
// their namespace name, as upstream's PodSecurity admission does: what violates the
// level to enforce is refused, what violates the one to warn about or to audit is told.
// Workloads that make pods are only warned about. Where a namespace has no such label,
// and the configuration asks for nothing, nobody is asked.
//
// The checks are upstream's (https://kubernetes.io/docs/concepts/security/pod-security-standards/),
// each as of the versions in which it changed.
package podsecurity

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
)

const (
	pods       = "v1/pods"
	namespaces = "v1/namespaces"
)

// workloads are the resources whose objects make pods, with where the template is.
var workloads = map[string]string{
	"v1/podtemplates": "template", "v1/replicationcontrollers": "spec.template", "apps/v1/replicasets": "spec.template", "apps/v1/deployments": "spec.template",
	"apps/v1/statefulsets": "spec.template", "apps/v1/daemonsets": "spec.template", "batch/v1/jobs": "spec.template", "batch/v1/cronjobs": "spec.jobTemplate.spec.template",
}

// Config is the plugin's configuration, in the form of upstream's
// PodSecurityConfiguration. Empty: nothing is asked for and nobody exempt.
type Config struct {
	// Defaults are for namespaces that say nothing, by the names of the labels:
	// "enforce", "enforce-version" and so on. A missing level is privileged, a
	// missing version latest.
	Defaults map[string]string `json:"defaults"`
	// Exemptions are not looked at.
	Exemptions struct {
		Usernames      []string `json:"usernames"`
		RuntimeClasses []string `json:"runtimeClasses"`
		Namespaces     []string `json:"namespaces"`
	} `json:"exemptions"`
}

func init() {
	sdk.Register(sdk.Plugin{Name: "pod-security", New: func(raw []byte) (sdk.Points, error) {
		r, err := newRule(raw)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		return &admission.Points{Match: r.match(), Fields: fields, Validate: r.validate}, nil
	}})
}

// rule is a configured instance.
type rule struct {
	Config
	defaults policy
}

func newRule(raw []byte) (*rule, error) {
	r := &rule{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &r.Config); err != nil {
			return nil, err
		}
	}
	labels := map[string]string{}
	for key, value := range r.Defaults {
		if !slices.Contains(labelKeys, prefix+key) {
			return nil, fmt.Errorf("defaults: unknown key %q", key)
		}
		labels[prefix+key] = value
	}
	p, faults := policyOf(labels, policy{privileged, privileged, privileged})
	if len(faults) > 0 {
		return nil, fmt.Errorf("defaults: %s: %q %s", faults[0].Field, faults[0].Value, faults[0].Detail)
	}
	if _, ok := r.Defaults["warn"]; !ok { // a default warns of what it says, no more
		p.warn = privileged
		if v, ok := r.Defaults["warn-version"]; ok {
			p.warn.minor, _ = minorOf(v)
		}
	}
	r.defaults = p
	return r, nil
}

func (r *rule) match() []admission.MatchRule {
	both := []admission.Operation{admission.Create, admission.Update}
	var templates []string
	for resource := range workloads {
		templates = append(templates, resource)
	}
	slices.Sort(templates)
	of := func(resources ...string) admission.MatchRule {
		m := admission.MatchRule{Operations: both, Resources: resources}
		if r.defaults.privileged() {
			m.NamespaceLabels = levelKeys
		}
		return m
	}
	ns := admission.MatchRule{Operations: both, Resources: []string{namespaces}, NamespaceLabels: labelKeys}
	return []admission.MatchRule{of(pods, pods+"/ephemeralcontainers"), of(templates...), ns}
}

func (r *rule) validate(q *admission.Review) error {
	if q.Resource == namespaces {
		return r.namespace(q)
	}
	if slices.Contains(r.Exemptions.Namespaces, q.Namespace) {
		return exempt(q, "namespace")
	}
	if slices.Contains(r.Exemptions.Usernames, q.User) {
		return exempt(q, "user")
	}
	var ns labelled
	if err := q.Reader.Get(&ns, "", q.Namespace); err != nil {
		return err
	}
	p, faults := policyOf(ns.Labels, r.defaults)
	enforced := q.Resource == pods
	switch {
	case len(faults) == 0 && (p.privileged() || !enforced && p.warn.level == privileged.level && p.audit.level == privileged.level):
		return nil
	case enforced && q.Operation == admission.Update && !significant(q.Object, q.Old):
		return nil
	}
	o, err := r.pod(q)
	if o == nil || err != nil {
		return err
	}
	if o.Spec.RuntimeClassName != "" && slices.Contains(r.Exemptions.RuntimeClasses, o.Spec.RuntimeClassName) {
		return exempt(q, "runtimeClass")
	}
	if len(faults) > 0 {
		q.Annotate(prefix+"error", "Failed to parse policy: "+joined(faults))
	}
	return judge(q, p, o, enforced)
}

// pod is the pod of a request, or that of the template; nil when there is none.
func (r *rule) pod(q *admission.Review) (*pod, error) {
	o, at := &pod{}, q.Object
	if path := workloads[q.Resource]; path != "" {
		if at = q.Object.Get(path); !at.Exists() {
			return nil, nil
		}
	}
	return o, at.Decode(o)
}

// judge holds a pod against a policy.
func judge(q *admission.Review, p policy, o *pod, enforced bool) error {
	known := map[standard]faults{}
	of := func(s standard) faults {
		if _, ok := known[s]; !ok {
			known[s] = evaluate(s, o)
		}
		return known[s]
	}
	var refused error
	denied := false
	if enforced {
		q.Annotate(prefix+"enforce-policy", p.enforce.String())
		if f := of(p.enforce); len(f) > 0 {
			refused, denied = q.Forbid("violates PodSecurity %q: %s", p.enforce, f.details()), true
		}
	}
	if f := of(p.audit); len(f) > 0 {
		q.Annotate(prefix+"audit-violations", fmt.Sprintf("would violate PodSecurity %q: %s", p.audit, f.details()))
	}
	if f := of(p.warn); len(f) > 0 && !denied {
		q.Warn("would violate PodSecurity %q: %s", p.warn, f.details())
	}
	return refused
}

func exempt(q *admission.Review, why string) error {
	q.Annotate(prefix+"exempt", why)
	return nil
}
