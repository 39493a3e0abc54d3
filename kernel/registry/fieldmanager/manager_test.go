package fieldmanager

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/applyconfigurations"
	clocktesting "k8s.io/utils/clock/testing"

	kresource "github.com/pintle-io/pintle/kernel/resource"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 999, time.UTC)

// maps is the Manager of ConfigMaps.
func maps(t *testing.T) *Manager {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	d := &kresource.Definition{Resource: "configmaps", Kind: "ConfigMap", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/configmaps"}
	table := &kresource.Table{Scheme: scheme, TypeConverter: applyconfigurations.NewTypeConverter(scheme), Definitions: []*kresource.Definition{d}}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	return New(Shared{Scheme: scheme, Convert: kresource.NewCodec(kresource.NewCatalog(table)), Clock: clocktesting.NewFakePassiveClock(noon), Log: slog.New(slog.NewTextHandler(t.Output(), nil))},
		Kind{Definition: d, Types: table.TypesOf(d), Schema: table.TypeConverterOf(d), Go: reflect.TypeFor[*corev1.ConfigMap]()})
}

func by(manager string) Write { return Write{Manager: manager, Version: corev1.SchemeGroupVersion} }

func config(data map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "m"}, "data": data}}
}

// Who applies comes to own what he applies, and another who applies a field that is
// owned conflicts unless he forces it.
func TestApply(t *testing.T) {
	f := maps(t)
	live := f.Create(by("kubectl"), &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "m"}, Data: map[string]string{"a": "1"}})
	before := live.DeepCopyObject()
	if _, err := f.Apply(by("helm"), live, config(map[string]any{"a": "2"}), false); !apierrors.IsConflict(err) {
		t.Errorf("apply of a field of another: %v", err)
	}
	out, err := f.Apply(by("helm"), live, config(map[string]any{"a": "2", "b": "3"}), true)
	if err != nil {
		t.Fatal(err)
	}
	m := out.(*corev1.ConfigMap)
	if m.Data["a"] != "2" || m.Data["b"] != "3" {
		t.Errorf("data %v", m.Data)
	}
	for _, e := range m.ManagedFields {
		switch owns := strings.Contains(e.FieldsV1.String(), `"f:a"`); {
		case owns != (e.Manager == "helm"):
			t.Errorf("%s owns %s", e.Manager, e.FieldsV1)
		case e.Time.Nanosecond() != 0:
			t.Errorf("time %v: stored in whole seconds", e.Time)
		}
	}
	if !reflect.DeepEqual(before, live) {
		t.Error("apply changed the live object")
	}
}

// A write that changes nothing but times keeps the old ones; one that changes
// something has its own.
func TestKeepTimes(t *testing.T) {
	entry := func(at time.Time) []metav1.ManagedFieldsEntry {
		when := metav1.NewTime(at)
		return []metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1", Time: &when, FieldsV1: metav1.NewFieldsV1(`{"f:data":{}}`)}}
	}
	old := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", ManagedFields: entry(noon)}, Data: map[string]string{"a": "1"}}
	for value, want := range map[string]time.Time{"1": noon, "2": noon.Add(time.Hour)} {
		next := old.DeepCopy()
		next.ManagedFields, next.Data["a"] = entry(noon.Add(time.Hour)), value
		KeepTimes(next, next, old, old)
		if got := next.ManagedFields[0].Time; !got.Equal(&metav1.Time{Time: want}) {
			t.Errorf("a=%s: time %v, want %v", value, got, want)
		}
	}
}

// Entries that a rule broke are put back, and the client is told.
func TestRestore(t *testing.T) {
	f := maps(t)
	m := f.Create(by("kubectl"), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Data: map[string]string{"a": "1"}}).(*corev1.ConfigMap)
	before := m.ManagedFields
	if w := Restore(m, before); w != "" {
		t.Errorf("untouched: %q", w)
	}
	m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Seize"}}
	if w := Restore(m, before); !strings.Contains(w, "invalid state after admission") || !reflect.DeepEqual(m.ManagedFields, before) {
		t.Errorf("warning %q, entries %v", w, m.ManagedFields)
	}
	m.ManagedFields = nil // a rule may drop them
	if w := Restore(m, before); w != "" || m.ManagedFields != nil {
		t.Errorf("dropped: %q, %v", w, m.ManagedFields)
	}
}
