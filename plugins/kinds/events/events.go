// Package events defines Events, of the core group and of events.k8s.io: one
// kind under two names.
package events

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	_ "k8s.io/kubernetes/pkg/apis/events/install"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Events have two names: that of the core group, whose validation is lenient,
// and that of events.k8s.io. Both are stored as the former.

// Kinds is both of them.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Kind: "Event", Resource: "events", Short: []string{"ev"}}, eventRule(corev1.SchemeGroupVersion)),
		kind.Define(kind.Names{Group: "events.k8s.io", Kind: "Event", Resource: "events", Short: []string{"ev"},
			StoredAs: &schema.GroupResource{Resource: "events"}}, newEventRule()),
	}
}

var eventsV1 = schema.GroupVersion{Group: "events.k8s.io", Version: "v1"}

func eventRule(gv schema.GroupVersion) kind.Rule[corev1.Event, core.Event] {
	return kind.Rule[corev1.Event, core.Event]{
		CreateOnUpdate: true,
		Validate:       func(e *core.Event) field.ErrorList { return validation.ValidateEventCreate(e, gv) },
		ValidateUpdate: func(e, old *core.Event) field.ErrorList { return validation.ValidateEventUpdate(e, old, gv) },
		Fields:         eventFields,
		Finish:         func(s *resource.Strategy) { s.NotCollected, s.Uncached = true, true },
	}
}

var eventFields = []kind.Selectable[corev1.Event]{
	{Label: "involvedObject.kind", Value: func(e *corev1.Event) string { return e.InvolvedObject.Kind }},
	{Label: "involvedObject.namespace", Value: func(e *corev1.Event) string { return e.InvolvedObject.Namespace }},
	{Label: "involvedObject.name", Value: func(e *corev1.Event) string { return e.InvolvedObject.Name }},
	{Label: "involvedObject.uid", Value: func(e *corev1.Event) string { return string(e.InvolvedObject.UID) }},
	{Label: "involvedObject.apiVersion", Value: func(e *corev1.Event) string { return e.InvolvedObject.APIVersion }},
	{Label: "involvedObject.resourceVersion", Value: func(e *corev1.Event) string { return e.InvolvedObject.ResourceVersion }},
	{Label: "involvedObject.fieldPath", Value: func(e *corev1.Event) string { return e.InvolvedObject.FieldPath }},
	{Label: "reason", Value: func(e *corev1.Event) string { return e.Reason }},
	{Label: "reportingComponent", Value: func(e *corev1.Event) string { return e.ReportingController }},
	{Label: "source", Value: eventSource},
	{Label: "type", Value: func(e *corev1.Event) string { return e.Type }},
}

// newEventRule is that of events.k8s.io. Its field labels are converted to
// those of the core group by the scheme.
func newEventRule() kind.Rule[corev1.Event, core.Event] {
	r := eventRule(eventsV1)
	r.Finish = func(s *resource.Strategy) { s.FieldLabels, s.NotCollected, s.Uncached = nil, true, true }
	return r
}

func eventSource(e *corev1.Event) string {
	if e.Source.Component != "" {
		return e.Source.Component
	}
	return e.ReportingController
}
