package registry_test

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Widget is a kind in two versions, stored as JSON, that the type converter
// does not know: v1 is the hub, v1beta1 spells size as width.
type Widget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Size              int `json:"size,omitempty"`
}

type WidgetBeta struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Width             int `json:"width,omitempty"`
}

func (w *Widget) DeepCopyObject() runtime.Object {
	out := *w
	w.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

func (w *WidgetBeta) DeepCopyObject() runtime.Object {
	out := *w
	w.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

var (
	widgetV1   = schema.GroupVersion{Group: "test.pintle.dev", Version: "v1"}
	widgetBeta = schema.GroupVersion{Group: "test.pintle.dev", Version: "v1beta1"}
)

func addWidgets(s *runtime.Scheme) error {
	s.AddKnownTypeWithName(widgetV1.WithKind("Widget"), &Widget{})
	s.AddKnownTypeWithName(widgetBeta.WithKind("Widget"), &WidgetBeta{})
	metav1.AddToGroupVersion(s, widgetV1)
	metav1.AddToGroupVersion(s, widgetBeta)
	err := s.AddConversionFunc((*WidgetBeta)(nil), (*Widget)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := a.(*WidgetBeta), b.(*Widget)
		out.ObjectMeta, out.Size = in.ObjectMeta, in.Width
		return nil
	})
	if err != nil {
		return err
	}
	return s.AddConversionFunc((*Widget)(nil), (*WidgetBeta)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := a.(*Widget), b.(*WidgetBeta)
		out.ObjectMeta, out.Width = in.ObjectMeta, in.Size
		return nil
	})
}

func widgetDefinition() *resource.Definition {
	return &resource.Definition{
		Group: "test.pintle.dev", Resource: "widgets", Singular: "widget", Kind: "Widget", ListKind: "WidgetList",
		Namespaced: true, JSONStored: true, Versions: []string{"v1", "v1beta1"}, StorageVersion: "v1", KeyPrefix: "/registry/test.pintle.dev/widgets",
		Strategy: resource.Strategy{AllowCreateOnUpdate: true},
	}
}
