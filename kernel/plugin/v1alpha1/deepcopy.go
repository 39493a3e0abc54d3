package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// DeepCopyInto copies p into out.
func (p *Plugin) DeepCopyInto(out *Plugin) {
	*out = *p
	p.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	p.Spec.DeepCopyInto(&out.Spec)
	p.Status.DeepCopyInto(&out.Status)
}

// DeepCopy copies p.
func (p *Plugin) DeepCopy() *Plugin {
	if p == nil {
		return nil
	}
	out := new(Plugin)
	p.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements runtime.Object.
func (p *Plugin) DeepCopyObject() runtime.Object { return p.DeepCopy() }

// DeepCopyInto copies s into out.
func (s *PluginSpec) DeepCopyInto(out *PluginSpec) {
	*out = *s
	out.Config = s.Config.DeepCopy()
	out.Permissions = slices.Clone(s.Permissions)
	for i := range out.Permissions {
		s.Permissions[i].DeepCopyInto(&out.Permissions[i])
	}
	s.Limits.DeepCopyInto(&out.Limits)
	out.Match = copyMatch(s.Match)
	out.Weight = copyOf(s.Weight)
	out.Members = slices.Clone(s.Members)
	for i := range out.Members {
		out.Members[i].Weight = copyOf(out.Members[i].Weight)
	}
}

func copyMatch(list []MatchRule) []MatchRule {
	out := slices.Clone(list)
	for i, m := range out {
		out[i] = MatchRule{slices.Clone(m.Operations), slices.Clone(m.Resources), slices.Clone(m.Namespaces), slices.Clone(m.ExceptNamespaces), slices.Clone(m.Present)}
	}
	return out
}

// DeepCopyInto copies l into out.
func (l *Limits) DeepCopyInto(out *Limits) {
	*out = *l
	if l.Memory != nil {
		m := l.Memory.DeepCopy()
		out.Memory = &m
	}
	out.Timeout = copyOf(l.Timeout)
}

// DeepCopyInto copies s into out.
func (s *PluginStatus) DeepCopyInto(out *PluginStatus) {
	*out = *s
	out.Points = slices.Clone(s.Points)
	out.Match = copyMatch(s.Match)
	out.Implements = slices.Clone(s.Implements)
	out.Conditions = slices.Clone(s.Conditions)
	for i := range out.Conditions {
		s.Conditions[i].DeepCopyInto(&out.Conditions[i])
	}
	if s.Memory != nil {
		m := s.Memory.DeepCopy()
		out.Memory = &m
	}
	out.LastError = copyOf(s.LastError)
}

// DeepCopyObject implements runtime.Object.
func (l *PluginList) DeepCopyObject() runtime.Object {
	out := &PluginList{TypeMeta: l.TypeMeta, Items: slices.Clone(l.Items)}
	copyListMeta(&l.ListMeta, &out.ListMeta)
	for i := range out.Items {
		l.Items[i].DeepCopyInto(&out.Items[i])
	}
	return out
}

// DeepCopyInto copies m into out.
func (m *PluginModule) DeepCopyInto(out *PluginModule) {
	*out = *m
	m.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Data = slices.Clone(m.Data)
}

// DeepCopyObject implements runtime.Object.
func (m *PluginModule) DeepCopyObject() runtime.Object {
	out := new(PluginModule)
	m.DeepCopyInto(out)
	return out
}

// DeepCopyObject implements runtime.Object.
func (l *PluginModuleList) DeepCopyObject() runtime.Object {
	out := &PluginModuleList{TypeMeta: l.TypeMeta, Items: slices.Clone(l.Items)}
	copyListMeta(&l.ListMeta, &out.ListMeta)
	for i := range out.Items {
		l.Items[i].DeepCopyInto(&out.Items[i])
	}
	return out
}

func copyListMeta(from, to *metav1.ListMeta) {
	*to = *from
	to.RemainingItemCount = copyOf(from.RemainingItemCount)
}
