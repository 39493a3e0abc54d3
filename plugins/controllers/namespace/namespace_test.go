package namespace

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
)

func show(list []corev1.NamespaceCondition) []string {
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return out
}

func TestConditions(t *testing.T) {
	fine := []string{
		"NamespaceDeletionDiscoveryFailure=False ResourcesDiscovered: All resources successfully discovered",
		"NamespaceDeletionGroupVersionParsingFailure=False ParsedGroupVersions: All legacy kube types successfully parsed",
		"NamespaceDeletionContentFailure=False ContentDeleted: All content successfully deleted, may be waiting on finalization",
		"NamespaceContentRemaining=False ContentRemoved: All content successfully removed",
		"NamespaceFinalizersRemaining=False ContentHasNoFinalizers: All content-preserving finalizers finished",
	}
	bad := []string{
		"NamespaceDeletionDiscoveryFailure=True DiscoveryFailed: Discovery failed for some groups, 1 failing: widgets.example.com: no such resource",
		fine[1],
		"NamespaceDeletionContentFailure=True ContentDeletionFailed: Failed to delete all resource types, 2 remaining: a, b",
		"NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods. has 3 resource instances",
		"NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: a.com/x in 2 resource instances, b.com/y in 1 resource instances",
	}
	found := &content{resources: map[string]int{"pods.": 3, "deployments.apps": 1}, finalizers: map[string]int{"b.com/y": 1, "a.com/x": 2},
		unknown: []string{"widgets.example.com: no such resource"}, failures: []string{"b", "a"}}
	first, second := metav1.Time("2026-01-01T12:00:00Z"), metav1.Time("2026-01-01T13:00:00Z")
	theirs := corev1.NamespaceCondition{Type: "Theirs", Status: corev1.ConditionTrue}

	list, changed := conditions([]corev1.NamespaceCondition{theirs}, found, first)
	if diff := cmp.Diff(append([]string{"Theirs=True : "}, bad...), show(list)); diff != "" || !changed {
		t.Errorf("changed %v (-want +got):\n%s", changed, diff)
	}
	if again, changed := conditions(list, found, second); changed {
		t.Errorf("the same found again changes the conditions to %v", again)
	}
	list, changed = conditions(list, &content{}, second)
	if diff := cmp.Diff(append([]string{"Theirs=True : "}, fine...), show(list)); diff != "" || !changed {
		t.Errorf("changed %v (-want +got):\n%s", changed, diff)
	}
	for _, c := range list[1:] {
		want := second
		if c.Type == corev1.NamespaceDeletionGVParsingFailure {
			want = first // it was false all the time
		}
		if c.LastTransitionTime != want {
			t.Errorf("%s changed at %s, want %s", c.Type, c.LastTransitionTime, want)
		}
	}
}

// broken fails for some resources.
type broken struct{ client.Client }

func (b broken) List(list any, o client.ListOptions) error {
	switch o.Resource {
	case "example.com/v1/widgets":
		return wire.Errorf(wire.KindNotFound, "there is no resource %q", o.Resource)
	case "v1/secrets":
		return errors.New("cannot be decoded")
	}
	return b.Client.List(list, o)
}

// A resource that fails keeps the namespace and is named in its status; the
// others are emptied.
func TestFailuresAreTold(t *testing.T) {
	deleted := metav1.Now()
	ns := &corev1.Namespace{}
	ns.Name, ns.DeletionTimestamp = "team", &deleted
	ns.Spec.Finalizers = []corev1.FinalizerName{finalizer}
	m := &corev1.ConfigMap{}
	m.Namespace, m.Name = "team", "m"
	store, err := sdktest.NewStore(ns, m)
	if err != nil {
		t.Fatal(err)
	}
	var l cleaner
	for _, path := range []string{"example.com/v1/widgets", "v1/secrets", "v1/configmaps"} {
		r, err := parse(path)
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, r)
	}
	c := store.Client()
	if _, err = l.reconcile(broken{c}, controller.Request{Name: "team"}); err == nil || !strings.Contains(err.Error(), "cannot be decoded") {
		t.Errorf("error %v, want what failed", err)
	}
	if got := strings.Join(store.Keys(), " "); got != "v1/namespaces//team" {
		t.Errorf("left: %s", got)
	}
	if err := c.Get(ns, "", "team"); err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, x := range ns.Status.Conditions {
		if x.Status == corev1.ConditionTrue {
			bad = append(bad, string(x.Type))
		}
	}
	if got := strings.Join(bad, " "); got != "NamespaceDeletionDiscoveryFailure NamespaceDeletionContentFailure" {
		t.Errorf("conditions that are true: %s", got)
	}
	if _, err := l[2:].reconcile(c, controller.Request{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(ns, "", "team"); err != nil || len(ns.Spec.Finalizers) > 0 {
		t.Errorf("emptied, the namespace is held by %v", ns.Spec.Finalizers)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{"v1/pods": "pods.", "apps/v1/deployments": "deployments.apps", "pods": "", "a/b/c/d": "", "apps//x": "", "": ""} {
		if r, err := parse(in); (err != nil) != (want == "") || r.name != want {
			t.Errorf("parse(%q) = %q, %v", in, r.name, err)
		}
	}
}
