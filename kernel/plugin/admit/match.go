package admit

import (
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin/present"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// matcher tells which requests a policy is asked about: those that its own
// rules and the Plugin resource's rules both select.
type matcher struct{ own, narrowed []matchRule }

type matchRule struct {
	operations               []admission.Operation
	resources                []v1alpha1.Pattern
	namespaces, butNamespace []string
	present                  present.Paths
}

func newMatcher(own []wire.Match, narrowed []v1alpha1.MatchRule) (*matcher, error) {
	m := &matcher{}
	if len(own) == 0 {
		own = []wire.Match{{}}
	}
	for _, r := range own {
		x, err := newRule(r.Operations, r.Resources, r.Namespaces, r.ExceptNamespaces)
		if err != nil {
			return nil, err
		}
		if len(x.operations) == 0 {
			x.operations = []admission.Operation{admission.Create, admission.Update}
		}
		if x.present, err = present.Parse(r.Present); err != nil {
			return nil, fmt.Errorf("match rule: %w", err)
		}
		m.own = append(m.own, x)
	}
	for _, r := range narrowed {
		x, err := newRule(r.Operations, r.Resources, r.Namespaces, r.ExceptNamespaces)
		if err != nil {
			return nil, err
		}
		if x.present, err = present.Parse(r.Present); err != nil {
			return nil, fmt.Errorf("spec.match: %w", err)
		}
		m.narrowed = append(m.narrowed, x)
	}
	return m, nil
}

func newRule(operations, resources, namespaces, except []string) (matchRule, error) {
	r := matchRule{namespaces: namespaces, butNamespace: except}
	for _, op := range operations {
		r.operations = append(r.operations, admission.Operation(op))
	}
	for _, s := range resources {
		p, err := v1alpha1.ParsePattern(s)
		if err != nil {
			return r, err
		}
		r.resources = append(r.resources, p)
	}
	return r, nil
}

func (r *matchRule) matches(a *admission.Attributes) bool {
	if len(r.operations) > 0 && !slices.Contains(r.operations, a.Operation) {
		return false
	}
	if len(r.resources) > 0 && !slices.ContainsFunc(r.resources, func(p v1alpha1.Pattern) bool { return p.Matches(a.Resource, a.Subresource) }) {
		return false
	}
	if len(r.namespaces) > 0 && !slices.Contains(r.namespaces, a.Namespace) {
		return false
	}
	if slices.Contains(r.butNamespace, a.Namespace) && a.Namespace != "" {
		return false
	}
	obj := a.Object
	if obj == nil {
		obj = a.Old
	}
	return len(r.present) == 0 || obj != nil && r.present.In(obj)
}

func (m *matcher) matches(a *admission.Attributes) bool {
	any := func(rules []matchRule) bool {
		return slices.ContainsFunc(rules, func(r matchRule) bool { return r.matches(a) })
	}
	return any(m.own) && (len(m.narrowed) == 0 || any(m.narrowed))
}

// coarse is a match for the chain that holds every request which matches, so
// that most others cost nothing.
func (m *matcher) coarse() admission.Match {
	var out admission.Match
	everything := false
	for _, r := range m.own {
		for _, op := range r.operations {
			if !slices.Contains(out.Operations, op) {
				out.Operations = append(out.Operations, op)
			}
		}
		everything = everything || len(r.resources) == 0
		for _, p := range r.resources {
			everything = everything || p.Everything
			out.Groups = append(out.Groups, p.Group)
			name := p.Resource
			if p.Subresource != "" {
				name += "/" + p.Subresource
			}
			if p.Resource == "*" && p.Subresource != "" {
				name = "*/*"
			}
			out.Resources = append(out.Resources, name)
		}
	}
	if everything {
		out.Groups, out.Resources = nil, nil
	}
	return out
}
