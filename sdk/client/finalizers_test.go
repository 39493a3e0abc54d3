package client_test

import (
	"slices"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// TestFinalizers: an object stays until its last finalizer is removed; who read it before
// somebody else changed it is told so.
func TestFinalizers(t *testing.T) {
	deleted := metav1.Time("2024-01-02T03:04:05Z")
	s, err := sdktest.NewStore(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "live", Finalizers: []string{"a/b"}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "going", Finalizers: []string{"x/y", "a/b"}, DeletionTimestamp: &deleted}})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	read := func(name string) *corev1.ConfigMap {
		t.Helper()
		o := &corev1.ConfigMap{}
		if err := c.Get(o, "ns", name); err != nil {
			t.Fatal(err)
		}
		return o
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	has := func(o *corev1.ConfigMap, want ...string) {
		t.Helper()
		if !slices.Equal(o.Finalizers, want) {
			t.Errorf("finalizers of %s: %q, want %q", o.Name, o.Finalizers, want)
		}
	}

	live, old := read("live"), read("live")
	must(client.AddFinalizer(c, live, "x/y"))
	has(live, "a/b", "x/y")
	has(read("live"), "a/b", "x/y")
	if client.ContainsFinalizer(old, "x/y") || !client.ContainsFinalizer(live, "x/y") {
		t.Error("ContainsFinalizer does not tell what was read")
	}
	version := live.ResourceVersion
	must(client.AddFinalizer(c, live, "a/b"))
	must(client.RemoveFinalizer(c, live, "not/there"))
	if got := read("live").ResourceVersion; got != version {
		t.Errorf("what changes nothing was written: %s, before %s", got, version)
	}
	if err := client.AddFinalizer(c, old, "z/z"); !client.IsConflict(err) {
		t.Errorf("an object that has changed: %v, want a conflict", err)
	}
	must(client.RemoveFinalizer(c, live, "a/b"))
	has(read("live"), "x/y")

	going := read("going")
	must(client.RemoveFinalizer(c, going, "x/y"))
	has(going, "a/b")
	last := read("going")
	must(client.RemoveFinalizer(c, last, "a/b"))
	if err := c.Get(&corev1.ConfigMap{}, "ns", "going"); !client.IsNotFound(err) {
		t.Errorf("without its last finalizer it is there: %v", err)
	}
	must(client.RemoveFinalizer(c, going, "a/b"))

	stale := read("live")
	must(client.AddFinalizer(c, read("live"), "a/b"))
	current := read("live")
	errs, err := client.RemoveFinalizers(c, []*corev1.ConfigMap{stale, current, going, current}, "x/y")
	must(err)
	if !client.IsConflict(errs[0]) || errs[1] != nil || errs[2] != nil || !client.IsConflict(errs[3]) {
		t.Errorf("removed from many: %v, want a conflict of what was read before and of what was changed just now", errs)
	}
	has(current, "x/y", "a/b")
	has(read("live"), "a/b")
	before := read("live").ResourceVersion
	if errs, err := client.RemoveFinalizers(c, []*corev1.ConfigMap{read("live")}, "x/y"); err != nil || errs[0] != nil || read("live").ResourceVersion != before {
		t.Errorf("a finalizer that is not there: %v, %v", errs, err)
	}
	if err := client.AddFinalizer(c, going, "c/d"); !client.IsNotFound(err) {
		t.Errorf("a finalizer of what is gone: %v, want not found", err)
	}
}
