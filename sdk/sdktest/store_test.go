package sdktest_test

import (
	"errors"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: labels}}
}

func TestStoreClock(t *testing.T) {
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	c, at := s.Client(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if now := c.Now(); time.Since(now) < 0 || now.Before(at) {
		t.Errorf("without a clock it is %v", now)
	}
	s.Clock = func() time.Time { return at }
	if now := c.Now(); !now.Equal(at) {
		t.Errorf("it is %v, want %v", now, at)
	}
}

func TestStore(t *testing.T) {
	s, err := sdktest.NewStore(configMap("one", map[string]string{"k": "v"}), configMap("two", nil))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	if err := c.Create(configMap("one", nil)); !client.IsAlreadyExists(err) {
		t.Errorf("create twice: %v", err)
	}
	var got corev1.ConfigMap
	if err := c.Get(&got, "a", "nobody"); !client.IsNotFound(err) {
		t.Errorf("get nobody: %v", err)
	}
	if err := c.Get(&got, "a", "one"); err != nil || got.UID == "" {
		t.Fatalf("get: %v, uid %q", err, got.UID)
	}
	stale := client.Clone(&got)
	got.Data = map[string]string{"x": "1"}
	if err := c.Update(&got); err != nil {
		t.Fatal(err)
	}
	if err := c.Update(stale); !client.IsConflict(err) {
		t.Errorf("stale update: %v", err)
	}
	if stale.Data != nil {
		t.Error("a clone shares the map of its original")
	}
	if err := c.Patch(&got, client.Patch{Data: map[string]any{"data": map[string]any{"x": nil, "y": "2"}}}); err != nil || got.Data["y"] != "2" || len(got.Data) != 1 {
		t.Errorf("patch: %v, %v", err, got.Data)
	}
	var list []*corev1.ConfigMap
	for selector, want := range map[string]int{"": 2, "k=v": 1, "k=w": 0} {
		if err := c.List(&list, client.ListOptions{Namespace: "a", Labels: selector}); err != nil || len(list) != want {
			t.Errorf("list %q: %d objects, %v; want %d", selector, len(list), err, want)
		}
	}
	for selector, want := range map[string]int{"metadata.name=one": 1, "metadata.name==one,metadata.namespace=b": 0, "no.such.field=": 2} {
		if err := c.List(&list, client.ListOptions{Namespace: "a", Fields: selector}); err != nil || len(list) != want {
			t.Errorf("list of fields %q: %d objects, %v; want %d", selector, len(list), err, want)
		}
	}
	errs, err := c.Batch([]client.Op{{Verb: client.VerbCreate, Object: configMap("one", nil)}, {Verb: client.VerbCreate, Object: configMap("three", nil)},
		{Verb: client.VerbDelete, Object: configMap("two", nil)}}, false)
	if err != nil || !client.IsAlreadyExists(errs[0]) || errors.Join(errs[1], errs[2]) != nil {
		t.Errorf("batch: %v, %v", errs, err)
	}
	c.Event(&got, client.Note{Reason: "Done", Message: "all"})
	if len(s.Notes) != 1 || s.Notes[0] != "one Done: all" {
		t.Errorf("notes %q", s.Notes)
	}
	var wrong []corev1.ConfigMap
	if err := c.List(&wrong, client.ListOptions{}); err == nil {
		t.Error("a list of values was taken")
	}
}

// TestStoreHoldsForFinalizers: a deletion waits for the last finalizer, whatever
// write removes it, and nobody takes it back.
func TestStoreHoldsForFinalizers(t *testing.T) {
	for name, release := range map[string]func(client.Client, *corev1.ConfigMap) error{
		"update": func(c client.Client, m *corev1.ConfigMap) error { m.Finalizers = nil; return c.Update(m) },
		"patch": func(c client.Client, m *corev1.ConfigMap) error {
			return c.Patch(m, client.Patch{Data: map[string]any{"metadata": map[string]any{"finalizers": nil}}})
		},
	} {
		held := configMap("held", nil)
		held.Finalizers = []string{"example.com/hold"}
		s, err := sdktest.NewStore(held)
		if err != nil {
			t.Fatal(err)
		}
		c := s.Client()
		var m corev1.ConfigMap
		for range 2 {
			if err := c.Delete(configMap("held", nil), client.DeleteOptions{}); err != nil {
				t.Fatalf("%s: delete: %v", name, err)
			}
			if err := c.Get(&m, "a", "held"); err != nil || m.DeletionTimestamp == nil {
				t.Fatalf("%s: deleted: %v, deletionTimestamp %v", name, err, m.DeletionTimestamp)
			}
			m.DeletionTimestamp = nil
			if err := c.Update(&m); err != nil {
				t.Fatal(err)
			}
		}
		if err := release(c, &m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Get(&m, "a", "held"); !client.IsNotFound(err) {
			t.Errorf("%s: released: %v, want not found", name, err)
		}
	}
}

// TestStoreConflicts: an update and a patch that name another version, or another object of
// the name, are refused.
func TestStoreConflicts(t *testing.T) {
	s, err := sdktest.NewStore(configMap("m", nil))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	var now corev1.ConfigMap
	if err := c.Get(&now, "a", "m"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(m *corev1.ConfigMap){
		"version": func(m *corev1.ConfigMap) { m.ResourceVersion = "0" },
		"uid":     func(m *corev1.ConfigMap) { m.UID = "another" },
	} {
		other := now
		change(&other)
		if err := c.Update(&other); !client.IsConflict(err) {
			t.Errorf("update of another %s: %v, want a conflict", name, err)
		}
		patch := map[string]any{"metadata": map[string]any{"uid": other.UID, "resourceVersion": other.ResourceVersion}}
		if err := c.Patch(configMap("m", nil), client.Patch{Data: patch}); !client.IsConflict(err) {
			t.Errorf("patch of another %s: %v, want a conflict", name, err)
		}
	}
	patch := map[string]any{"metadata": map[string]any{"uid": now.UID, "resourceVersion": now.ResourceVersion}}
	if err := c.Patch(configMap("m", nil), client.Patch{Data: patch}); err != nil {
		t.Errorf("patch of the same: %v", err)
	}
}
