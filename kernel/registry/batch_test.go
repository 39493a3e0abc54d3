package registry_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store"
)

func createItem(name string) registry.BatchItem {
	return registry.BatchItem{Verb: "create", Target: at(podsR, ""), Object: pod(name), Options: registry.WriteOptions{FieldManager: "batch"}}
}

func bindItem(name string) registry.BatchItem {
	return registry.BatchItem{Verb: "create", Target: sub(podsR, name, "binding"), Object: binding(name, "n")}
}

func TestBatchCreatesAndBinds(t *testing.T) {
	c := newCluster(t)
	const n = 600
	var creates, binds []registry.BatchItem
	for i := range n {
		creates = append(creates, createItem(fmt.Sprintf("p-%03d", i)))
		binds = append(binds, bindItem(fmt.Sprintf("p-%03d", i)))
	}
	before, _ := c.store.counts()
	for _, items := range [][]registry.BatchItem{creates, binds} {
		results, err := c.Batch(t.Context(), items, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil || r.Result == nil {
				t.Fatalf("item %d: %+v", i, r)
			}
		}
	}
	if after, _ := c.store.counts(); after-before != 8 { // of each: 256, 256, 87, and the last
		t.Errorf("%d commits for %d items, want 8", after-before, 2*n)
	}
	l := c.list(t, metav1.ListOptions{FieldSelector: "spec.nodeName=n"})
	if len(l.Items) != n {
		t.Errorf("%d pods are bound", len(l.Items))
	}
	if got := managers(l.Items[n-1].Obj); got != "batch Update v1 " {
		t.Errorf("managers %q", got)
	}
}

func TestBatchAnswersEachItem(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("taken"))
	named := pod("")
	named.GenerateName = "gen-"
	upd := c.mustGet(t, podsR, "taken").(*corev1.Pod).DeepCopy()
	upd.Labels["x"] = "y"
	items := []registry.BatchItem{
		createItem("new"),
		createItem("taken"),
		bindItem("new"), // after its create
		bindItem("missing"),
		{Verb: "create", Target: at(podsR, ""), Object: named},
		{Verb: "create", Target: at(podsR, ""), Object: named},
		{Verb: "update", Target: at(podsR, "taken"), Object: upd},
		{Verb: "delete", Target: at(podsR, "gone")},
		{Verb: "frobnicate", Target: at(podsR, "x")},
		{Verb: "create", Target: registry.Target{Resource: podsR, Namespace: "nowhere"}, Object: pod("x")},
		{Verb: "create", Target: at(configMapsR, ""), Object: configMap("dry", nil), Options: registry.WriteOptions{DryRun: true}},
	}
	results, err := c.Batch(t.Context(), items, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []func(error) bool{nil, apierrors.IsAlreadyExists, nil, apierrors.IsNotFound, nil, nil, nil, apierrors.IsNotFound,
		apierrors.IsBadRequest, apierrors.IsNotFound, nil}
	for i, r := range results {
		if ok := want[i] == nil && r.Err == nil && r.Result != nil || want[i] != nil && want[i](r.Err); !ok {
			t.Errorf("item %d: %+v", i, r)
		}
	}
	if p := c.mustGet(t, podsR, "new").(*corev1.Pod); p.Spec.NodeName != "n" {
		t.Error("new is not bound")
	}
	if _, err := c.Get(t.Context(), at(configMapsR, "dry"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("dry run: %v", err)
	}
}

// Another server writes one of the objects between the plan and the commit:
// that item alone is planned again.
func TestBatchConflictOfOne(t *testing.T) {
	c := newCluster(t)
	var binds []registry.BatchItem
	for i := range 20 {
		name := fmt.Sprintf("p-%02d", i)
		c.mustCreate(t, podsR, pod(name))
		binds = append(binds, bindItem(name))
	}
	victim := c.mustGet(t, podsR, "p-07").(*corev1.Pod).DeepCopy()
	victim.Labels["foreign"] = "yes"
	value, err := c.codec.EncodeStorage(podDefinition(), victim)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	commits := 0
	c.store.intercept(func([]store.Op) {
		commits++
		once.Do(func() {
			if _, err := c.store.Store.Commit(context.Background(), []store.Op{{Key: "/registry/pods/default/p-07", Value: value, Expect: store.Any}}); err != nil {
				t.Error(err)
			}
		})
	})
	results, err := c.Batch(t.Context(), binds, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	p := c.mustGet(t, podsR, "p-07").(*corev1.Pod)
	if p.Spec.NodeName != "n" || p.Labels["foreign"] != "yes" {
		t.Errorf("p-07: node %q, labels %v", p.Spec.NodeName, p.Labels)
	}
	if commits != 4 { // refused; the 18 others; the last; p-07
		t.Errorf("%d commits, want 4", commits)
	}
}

func TestBatchAtomic(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("taken"))
	before, _ := c.store.counts()
	results, err := c.Batch(t.Context(), []registry.BatchItem{createItem("a"), createItem("taken"), createItem("b")}, true)
	if err != nil {
		t.Fatal(err)
	}
	if !apierrors.IsAlreadyExists(results[1].Err) || results[0].Err == nil || results[2].Err == nil || results[0].Result != nil {
		t.Errorf("results %+v", results)
	}
	if l := c.list(t, metav1.ListOptions{}); len(l.Items) != 1 {
		t.Errorf("pods %v: an atomic batch wrote a part", names(l))
	}
	results, err = c.Batch(t.Context(), []registry.BatchItem{createItem("a"), createItem("b"), bindItem("taken")}, true)
	if err != nil {
		t.Fatal(err)
	}
	revs := map[string]bool{}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, name := range []string{"a", "b", "taken"} {
		revs[c.mustGet(t, podsR, name).(*corev1.Pod).ResourceVersion] = true
	}
	if len(revs) != 1 {
		t.Errorf("resourceVersions %v: one commit has one", revs)
	}
	if after, _ := c.store.counts(); after-before != 2 {
		t.Errorf("%d commits", after-before)
	}
	results, err = c.Batch(t.Context(), []registry.BatchItem{createItem("z"), createItem("z")}, true)
	if err != nil || results[0].Err == nil || !apierrors.IsAlreadyExists(results[1].Err) {
		t.Errorf("one object twice: %v, %+v", err, results)
	}
	var many []registry.BatchItem
	for i := range store.MaxOps + 1 {
		many = append(many, createItem(fmt.Sprintf("m-%d", i)))
	}
	if _, err := c.Batch(t.Context(), many, true); !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("too many: %v", err)
	}
}

func TestBatchOfLargeObjects(t *testing.T) {
	c := newCluster(t)
	var items []registry.BatchItem
	for i := range 12 {
		m := configMap(fmt.Sprintf("big-%d", i), map[string]string{"k": strings.Repeat("x", 600<<10)})
		items = append(items, registry.BatchItem{Verb: "create", Target: at(configMapsR, ""), Object: m})
	}
	results, err := c.Batch(t.Context(), items, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
}

// Writers of overlapping batches and single writes on the same pods: every
// item has one answer, and what the store holds at the end is what the last
// successful write said.
func TestBatchHammer(t *testing.T) {
	c := newCluster(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := map[string]int{}
	for range 6 {
		wg.Go(func() {
			var items []registry.BatchItem
			for i := range 80 {
				items = append(items, createItem(fmt.Sprintf("p-%02d", i)), bindItem(fmt.Sprintf("p-%02d", i)))
			}
			results, err := c.Batch(t.Context(), items, false)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for i, r := range results {
				switch {
				case r.Err == nil && items[i].Target.Subresource == "":
					created[items[i].Object.(*corev1.Pod).Name]++
				case r.Err != nil && !apierrors.IsAlreadyExists(r.Err) && !apierrors.IsConflict(r.Err):
					t.Errorf("item %d: %v", i, r.Err)
				}
			}
		})
	}
	wg.Wait()
	for name, n := range created {
		if n != 1 {
			t.Errorf("%s was created %d times", name, n)
		}
	}
	if l := c.list(t, metav1.ListOptions{FieldSelector: "spec.nodeName=n"}); len(created) != 80 || len(l.Items) != 80 {
		t.Errorf("%d created, %d bound", len(created), len(l.Items))
	}
}
