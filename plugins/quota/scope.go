package quota

import (
	"slices"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

// InScope tells whether an object of a resource is in all scopes of a quota. Only pods
// and claims are in any.
func (o *Object) InScope(groupResource string, q *corev1.ResourceQuotaSpec) bool {
	for _, s := range q.Scopes {
		if !o.in(groupResource, &corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists}) {
			return false
		}
	}
	if q.ScopeSelector == nil {
		return true
	}
	for i := range q.ScopeSelector.MatchExpressions {
		if !o.in(groupResource, &q.ScopeSelector.MatchExpressions[i]) {
			return false
		}
	}
	return true
}

func (o *Object) in(groupResource string, s *corev1.ScopedResourceSelectorRequirement) bool {
	switch groupResource {
	case Pods:
		return o.podIn(s)
	case Claims:
		return s.ScopeName == corev1.ResourceQuotaScopeVolumeAttributesClass && selects(s, o.AttributesClasses())
	}
	return false
}

func (o *Object) podIn(s *corev1.ScopedResourceSelectorRequirement) bool {
	switch s.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return o.Terminating()
	case corev1.ResourceQuotaScopeNotTerminating:
		return !o.Terminating()
	case corev1.ResourceQuotaScopeBestEffort:
		return o.bestEffort()
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !o.bestEffort()
	case corev1.ResourceQuotaScopePriorityClass:
		var class []string
		if o.Spec.PriorityClassName != "" {
			class = []string{o.Spec.PriorityClassName}
		}
		return selects(s, class)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		a := o.Spec.Affinity
		return a != nil && (a.Pod.acrossNamespaces() || a.Anti.acrossNamespaces())
	}
	return false
}

// Terminating tells whether a pod has a deadline.
func (o *Object) Terminating() bool {
	return o.Spec.ActiveDeadlineSeconds != nil && *o.Spec.ActiveDeadlineSeconds >= 0
}

// selects tells whether a selector selects one of the names; or having none.
func selects(s *corev1.ScopedResourceSelectorRequirement, names []string) bool {
	listed := func(name string) bool { return slices.Contains(s.Values, name) }
	switch s.Operator {
	case corev1.ScopeSelectorOpExists:
		return len(names) > 0
	case corev1.ScopeSelectorOpDoesNotExist:
		return len(names) == 0
	case corev1.ScopeSelectorOpIn:
		return slices.ContainsFunc(names, listed)
	case corev1.ScopeSelectorOpNotIn:
		return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return !listed(name) })
	}
	return false
}

// AttributesClasses are the VolumeAttributesClasses that a claim refers to, in order.
func (o *Object) AttributesClasses() (out []string) {
	if c := o.Spec.AttributesClass; c != nil {
		out = append(out, *c)
	}
	out = append(out, o.Status.AttributesClass)
	if m := o.Status.Modify; m != nil {
		out = append(out, m.AttributesClass)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(name string) bool { return name == "" })
}

func (t *terms) acrossNamespaces() bool {
	across := func(x *term) bool { return len(x.Namespaces) > 0 || x.NamespaceSelector != nil }
	for i := range t.Required {
		if across(&t.Required[i]) {
			return true
		}
	}
	for i := range t.Preferred {
		if across(&t.Preferred[i].Term) {
			return true
		}
	}
	return false
}

// bestEffort tells whether a pod is of that class: it asks for no cpu and memory.
func (o *Object) bestEffort() bool {
	if o.Status.QOSClass != "" {
		return o.Status.QOSClass == string(corev1.PodQOSBestEffort)
	}
	if o.hasPodLevel() {
		return !asks(o.Spec.Resources)
	}
	return !slices.ContainsFunc(slices.Concat(o.Spec.Containers, o.Spec.InitContainers), func(c container) bool { return asks(&c.Resources) })
}

func asks(r *corev1.ResourceRequirements) bool {
	for _, list := range []corev1.ResourceList{r.Requests, r.Limits} {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := list[name]; ok && !q.IsZero() {
				return true
			}
		}
	}
	return false
}

// Sum adds what an object uses of the names of a quota to their totals.
func Sum(totals, usage corev1.ResourceList) {
	for name, q := range usage {
		if old, ok := totals[name]; ok {
			totals[name] = old.Add(q)
		}
	}
}

// Increase is by how much now is more than before, without what is not.
func Increase(now, before corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range now {
		if old, ok := before[name]; ok {
			q = q.Sub(old)
		}
		if q.Cmp(resource.Quantity("0")) > 0 {
			out[name] = q
		}
	}
	return out
}
