package admission

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
)

// FailurePolicy says what happens to a request when a rule could not be asked:
// it panicked, ran out of time, or returned an error that wraps [ErrFailed].
// A refusal is not a failure: it always counts.
type FailurePolicy string

// The failure policies. The zero value means Fail.
const (
	Fail   FailurePolicy = "Fail"
	Ignore FailurePolicy = "Ignore"
)

// Rule is one entry of a chain.
type Rule struct {
	// Mutate, Validate: at least one is set. A rule with both is asked twice.
	Mutate   Mutator
	Validate Validator
	// Match selects the requests that the rule is asked about.
	Match Match
	// ReadOnly promises that Mutate changes nothing: it only refuses early.
	ReadOnly bool
	// Policy marks a rule that the cluster's people brought: exempt requests
	// pass by it, see [Chain.Exempt].
	Policy bool
	// Failure is Fail if empty.
	Failure FailurePolicy
	// Timeout ends the ctx of each call; 0 means the request's own deadline.
	Timeout time.Duration
}

// Match selects requests. An empty list matches everything; all lists must
// match.
type Match struct {
	Operations []Operation
	// Groups and Resources name API groups ("" is the core group) and
	// resources. "*" is all of them; "pods/status" is a subresource, "pods/*"
	// all subresources of pods, "*/*" every resource and subresource. A plain
	// "pods" does not match subresources, as upstream's webhooks have it.
	Groups    []string
	Resources []string
	// Namespaces limits the rule to these namespaces, ExcludeNamespaces takes
	// some away. Cluster scoped objects are matched by ClusterScoped alone
	// when Namespaces is set.
	Namespaces        []string
	ExcludeNamespaces []string
	ClusterScoped     bool
	// Names limits the rule to objects of these names.
	Names []string
	// Labels selects by the labels of the new or the old object; nil is all.
	Labels labels.Selector
}

// Matches reports whether the rule is to be asked about a.
func (m *Match) Matches(a *Attributes) bool {
	return contains(m.Operations, a.Operation, "*") &&
		contains(m.Groups, a.Resource.Group, "*") &&
		m.matchesResource(a) && m.matchesNamespace(a) &&
		contains(m.Names, a.Name, "") && m.matchesLabels(a)
}

func contains[T ~string](list []T, v, wildcard T) bool {
	if len(list) == 0 {
		return true
	}
	for _, x := range list {
		if x == v || (wildcard != "" && x == wildcard) {
			return true
		}
	}
	return false
}

func (m *Match) matchesResource(a *Attributes) bool {
	if len(m.Resources) == 0 {
		return true
	}
	r, sub := a.Resource.Resource, a.Subresource
	for _, want := range m.Resources {
		switch {
		case want == "*/*":
			return true
		case sub == "" && (want == r || want == "*"):
			return true
		case sub != "" && (want == r+"/"+sub || want == r+"/*" || want == "*/"+sub):
			return true
		}
	}
	return false
}

func (m *Match) matchesNamespace(a *Attributes) bool {
	ns := a.Namespace
	// A Namespace is judged by its own name, as upstream's selectors do.
	if a.Resource.Group == "" && a.Resource.Resource == "namespaces" {
		ns = a.Name
	}
	if ns == "" {
		return len(m.Namespaces) == 0 || m.ClusterScoped
	}
	for _, x := range m.ExcludeNamespaces {
		if x == ns {
			return false
		}
	}
	return contains(m.Namespaces, ns, "*")
}

func (m *Match) matchesLabels(a *Attributes) bool {
	if m.Labels == nil || m.Labels.Empty() {
		return true
	}
	if a.Object != nil {
		if o, err := meta.Accessor(a.Object); err == nil && m.Labels.Matches(labels.Set(o.GetLabels())) {
			return true
		}
	}
	if a.Old != nil {
		if o, err := meta.Accessor(a.Old); err == nil && m.Labels.Matches(labels.Set(o.GetLabels())) {
			return true
		}
	}
	return false
}
