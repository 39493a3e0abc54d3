package admit

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin/present"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// matcher tells which requests a policy is asked about: those that its own
// rules and the Plugin resource's rules both select.
type matcher struct {
	own, narrowed []matchRule
	around        Around // nil: all is given
}

// Around is what match rules ask about beside the request, of every request: it is to
// answer from memory.
type Around interface {
	// Holds reports that there is an object of a resource in a namespace; "" is any.
	Holds(ctx context.Context, gr schema.GroupResource, namespace string) (bool, error)
	// NamespaceLabels are the labels of a namespace, none when it is not there.
	NamespaceLabels(ctx context.Context, name string) (map[string]string, error)
}

type matchRule struct {
	operations               []admission.Operation
	resources                []v1alpha1.Pattern
	namespaces, butNamespace []string
	present                  present.Paths
	given                    []schema.GroupResource
	labels                   []string // of the namespace
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
		for _, g := range r.Given {
			p, err := v1alpha1.ParsePattern(g)
			if err != nil {
				return nil, fmt.Errorf("match rule: given: %w", err)
			}
			x.given = append(x.given, schema.GroupResource{Group: p.Group, Resource: p.Resource})
		}
		x.labels = r.NamespaceLabels
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

func (m *matcher) matches(ctx context.Context, a *admission.Attributes) bool {
	return slices.ContainsFunc(m.own, func(r matchRule) bool { return r.matches(a) && m.given(ctx, &r, a) }) &&
		(len(m.narrowed) == 0 || slices.ContainsFunc(m.narrowed, func(r matchRule) bool { return r.matches(a) }))
}

// given tells whether the cluster is as a rule asks for. What cannot be found out
// is taken to be so: the policy is asked.
func (m *matcher) given(ctx context.Context, r *matchRule, a *admission.Attributes) bool {
	if m.around == nil {
		return true
	}
	for _, gr := range r.given {
		if holds, err := m.around.Holds(ctx, gr, a.Namespace); err == nil && !holds {
			return false
		}
	}
	return len(r.labels) == 0 || m.labelled(ctx, r.labels, a)
}

// labelled tells whether the namespace of a request has one of the labels; of a
// request for a Namespace, that one, as it is or as it would be.
func (m *matcher) labelled(ctx context.Context, keys []string, a *admission.Attributes) bool {
	if isNamespace(a) {
		return hasLabel(a.Object, keys) || hasLabel(a.Old, keys)
	}
	if a.Namespace == "" {
		return false
	}
	labels, err := m.around.NamespaceLabels(ctx, a.Namespace)
	return err != nil || oneOf(labels, keys)
}

func isNamespace(a *admission.Attributes) bool {
	return a.Resource.Group == "" && a.Resource.Resource == "namespaces"
}

// namespaceOf is whose fault it is when a policy fails at a request: what it reads for
// a Namespace is what that one holds.
func namespaceOf(a *admission.Attributes) string {
	if isNamespace(a) {
		return a.Name
	}
	return a.Namespace
}

func hasLabel(obj runtime.Object, keys []string) bool {
	if obj == nil {
		return false
	}
	o, err := meta.Accessor(obj)
	return err == nil && oneOf(o.GetLabels(), keys)
}

func oneOf(labels map[string]string, keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { _, ok := labels[k]; return ok })
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
