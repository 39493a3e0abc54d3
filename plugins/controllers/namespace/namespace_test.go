package namespace

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
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
		unknown: []string{"widgets.example.com: no such resource"}, failures: []string{"b"}, stuck: []string{"a"}}
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

// broken fails to list, or to delete secrets.
type broken struct {
	client.Client
	list error
}

func (b broken) List(list any, o client.ListOptions) error {
	if b.list != nil {
		return b.list
	}
	return b.Client.List(list, o)
}

func (b broken) Batch(ops []client.Op, atomic bool) ([]error, error) {
	errs, err := b.Client.Batch(slices.DeleteFunc(slices.Clone(ops), isSecret), atomic)
	for i, op := range ops {
		if isSecret(op) {
			errs = slices.Insert(errs, i, errors.New("a rule forbids it"))
		}
	}
	return errs, err
}

func isSecret(op client.Op) bool { return op.Object.APIResource() == "v1/secrets" }

func conditionsThatAreTrue(ns *corev1.Namespace) string {
	var out []string
	for _, x := range ns.Status.Conditions {
		if x.Status == corev1.ConditionTrue {
			out = append(out, string(x.Type))
		}
	}
	return strings.Join(out, " ")
}

// What cannot be deleted keeps the namespace and is named in its status; the
// others go. Which resources there are nobody has to say.
func TestFailuresAreTold(t *testing.T) {
	deleted := metav1.Now()
	ns := &corev1.Namespace{}
	ns.Name, ns.DeletionTimestamp = "team", &deleted
	ns.Spec.Finalizers = []corev1.FinalizerName{finalizer}
	m, s := &corev1.ConfigMap{}, &corev1.Secret{}
	m.Namespace, m.Name = "team", "m"
	s.Namespace, s.Name = "team", "s"
	store, err := sdktest.NewStore(ns, m, s)
	if err != nil {
		t.Fatal(err)
	}
	c := store.Client()
	for _, tt := range []struct {
		list       error
		says, left string
		conditions string
	}{
		{errors.New("no etcd"), "no etcd", "v1/configmaps/team/m v1/namespaces//team v1/secrets/team/s", "NamespaceDeletionContentFailure"},
		{nil, "a rule forbids it", "v1/namespaces//team v1/secrets/team/s", "NamespaceDeletionContentFailure NamespaceContentRemaining"},
	} {
		if _, err = reconcile(broken{c, tt.list}, controller.Request{Name: "team"}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("error %v, want %s", err, tt.says)
		}
		if got := strings.Join(store.Keys(), " "); got != tt.left {
			t.Errorf("left: %s, want %s", got, tt.left)
		}
		if err := c.Get(ns, "", "team"); err != nil {
			t.Fatal(err)
		}
		if got := conditionsThatAreTrue(ns); got != tt.conditions {
			t.Errorf("conditions that are true: %s, want %s", got, tt.conditions)
		}
	}
	if _, err := reconcile(c, controller.Request{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(ns, "", "team"); err != nil || len(ns.Spec.Finalizers) > 0 {
		t.Errorf("emptied, the namespace is held by %v", ns.Spec.Finalizers)
	}
	if got := strings.Join(store.Keys(), " "); got != "v1/namespaces//team" {
		t.Errorf("left: %s", got)
	}
}

// Pods go before all else, and while one is held the rest stays.
func TestPodsGoFirst(t *testing.T) {
	deleted := metav1.Now()
	ns := &corev1.Namespace{}
	ns.Name, ns.DeletionTimestamp = "team", &deleted
	ns.Spec.Finalizers = []corev1.FinalizerName{finalizer}
	p, m := &corev1.Pod{}, &corev1.ConfigMap{}
	p.Namespace, p.Name, p.Finalizers = "team", "p", []string{"example.com/hold"}
	m.Namespace, m.Name = "team", "m"
	store, err := sdktest.NewStore(ns, p, m)
	if err != nil {
		t.Fatal(err)
	}
	c := store.Client()
	left := func() string { return strings.Join(store.Keys(), " ") }

	for range 2 {
		if result, err := reconcile(c, controller.Request{Name: "team"}); err != nil || result.RequeueAfter == 0 {
			t.Fatalf("result %+v, error %v, want another look", result, err)
		}
		if got, want := left(), "v1/configmaps/team/m v1/namespaces//team v1/pods/team/p"; got != want {
			t.Fatalf("left: %s, want %s", got, want)
		}
	}
	if err := c.Get(p, "team", "p"); err != nil || p.DeletionTimestamp == nil {
		t.Fatalf("the pod is not being deleted (%v)", err)
	}
	p.Finalizers = nil
	if err := c.Update(p); err != nil {
		t.Fatal(err)
	}
	if _, err := reconcile(c, controller.Request{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	if got, want := left(), "v1/namespaces//team"; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
}

// What is left though nothing holds it is told, as upstream tells it.
func TestUnexpected(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	past, future := metav1.NewTime(now.Add(-time.Minute)), metav1.NewTime(now.Add(time.Minute))
	item := func(resource string, deleted *metav1.Time, finalizers ...string) *object {
		o := &object{Resource: resource}
		o.DeletionTimestamp, o.Finalizers = deleted, finalizers
		return o
	}
	for _, tc := range []struct {
		name  string
		items []*object
		want  []string
	}{
		{"nothing", nil, nil},
		{"a pod whose grace is over", []*object{item("v1/pods", &past)}, []string{"unexpected items still remain in namespace: team for gvr: /v1, Resource=pods"}},
		{"a pod whose grace is not over", []*object{item("v1/pods", &past), item("v1/pods", &future)}, nil},
		{"one that is not deleted yet", []*object{item("v1/configmaps", nil)}, nil},
		{"one with a finalizer", []*object{item("v1/pods", &past), item("v1/pods", &past, "example.com/hold")}, nil},
		{"each resource by itself", []*object{item("apps/v1/deployments", &past), item("v1/pods", &past, "example.com/hold")},
			[]string{"unexpected items still remain in namespace: team for gvr: apps/v1, Resource=deployments"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newContent("team", now)
			for _, o := range tc.items {
				f.add(o)
			}
			f.unexpected()
			if diff := cmp.Diff(tc.want, f.stuck); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(f.stuck) > 0 && f.says(corev1.NamespaceDeletionContentFailure) != "Failed to delete all resource types, 1 remaining: "+f.stuck[0] {
				t.Error(f.says(corev1.NamespaceDeletionContentFailure))
			}
		})
	}
}

// What is deleted takes its dependents along, whatever its kind would do otherwise.
func TestRemove(t *testing.T) {
	o := &object{Resource: "v1/replicationcontrollers"}
	o.UID = "u"
	if got := remove(o).Delete; got.Propagation != "Background" || *got.Preconditions.UID != "u" {
		t.Errorf("deleted by %+v", got)
	}
}

// What takes long is looked at less often.
func TestPause(t *testing.T) {
	for since, want := range map[time.Duration]time.Duration{-time.Second: time.Second, 0: time.Second, 40 * time.Second: 4 * time.Second, time.Hour: 15 * time.Second} {
		if got := pause(since); got != want {
			t.Errorf("pause(%s) = %s, want %s", since, got, want)
		}
	}
}

func TestNameOf(t *testing.T) {
	for in, want := range map[string]string{"v1/pods": "pods.", "apps/v1/deployments": "deployments.apps"} {
		if got := nameOf(in); got != want {
			t.Errorf("nameOf(%q) = %q, want %q", in, got, want)
		}
	}
}
