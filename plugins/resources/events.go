package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Events have two names: that of the core group, whose validation is lenient,
// and that of events.k8s.io. Both are stored as the former.

var eventsV1 = schema.GroupVersion{Group: "events.k8s.io", Version: "v1"}

func eventRule(gv schema.GroupVersion) rule[corev1.Event, core.Event] {
	return rule[corev1.Event, core.Event]{
		createOnUpdate: true,
		validate:       func(e *core.Event) field.ErrorList { return validation.ValidateEventCreate(e, gv) },
		validateUpdate: func(e, old *core.Event) field.ErrorList { return validation.ValidateEventUpdate(e, old, gv) },
		fields:         eventFields,
		finish:         func(s *resource.Strategy) { s.NotCollected = true },
	}
}

var eventFields = []selectable[corev1.Event]{
	{"involvedObject.kind", func(e *corev1.Event) string { return e.InvolvedObject.Kind }},
	{"involvedObject.namespace", func(e *corev1.Event) string { return e.InvolvedObject.Namespace }},
	{"involvedObject.name", func(e *corev1.Event) string { return e.InvolvedObject.Name }},
	{"involvedObject.uid", func(e *corev1.Event) string { return string(e.InvolvedObject.UID) }},
	{"involvedObject.apiVersion", func(e *corev1.Event) string { return e.InvolvedObject.APIVersion }},
	{"involvedObject.resourceVersion", func(e *corev1.Event) string { return e.InvolvedObject.ResourceVersion }},
	{"involvedObject.fieldPath", func(e *corev1.Event) string { return e.InvolvedObject.FieldPath }},
	{"reason", func(e *corev1.Event) string { return e.Reason }},
	{"reportingComponent", func(e *corev1.Event) string { return e.ReportingController }},
	{"source", eventSource},
	{"type", func(e *corev1.Event) string { return e.Type }},
}

// newEventRule is that of events.k8s.io. Its field labels are converted to
// those of the core group by the scheme.
func newEventRule() rule[corev1.Event, core.Event] {
	r := eventRule(eventsV1)
	r.finish = func(s *resource.Strategy) { s.FieldLabels, s.NotCollected = nil, true }
	return r
}

func eventSource(e *corev1.Event) string {
	if e.Source.Component != "" {
		return e.Source.Component
	}
	return e.ReportingController
}
