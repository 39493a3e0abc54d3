package registry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

func (c *cluster) watch(t *testing.T, o metav1.ListOptions) registry.Watcher {
	t.Helper()
	w, err := c.Watch(t.Context(), at(podsR, ""), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// expect reads events and compares them to "ADDED a", "BOOKMARK end" and so on.
func expect(t *testing.T, w registry.Watcher, want ...string) {
	t.Helper()
	var got []string
	for range want {
		select {
		case e, ok := <-w.Events():
			if !ok {
				t.Fatalf("watch ended after %v: %v", got, w.Err())
			}
			got = append(got, show(e))
		case <-time.After(time.Minute):
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func show(e watch.Event) string {
	switch {
	case e.Object != nil:
		return e.Type.String() + " " + e.Object.Name
	case e.InitialEnd:
		return "BOOKMARK end"
	}
	return e.Type.String()
}

func (c *cluster) patch(t *testing.T, name, patch string) {
	t.Helper()
	if _, err := c.Patch(t.Context(), at(podsR, name), types.MergePatchType, []byte(patch), registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWatchBeginnings(t *testing.T) {
	const first = "first" // stands for the resourceVersion of a
	yes, no := true, false
	for name, tc := range map[string]struct {
		o    metav1.ListOptions
		want string
	}{
		"now":                  {metav1.ListOptions{}, "ADDED a,ADDED b"},
		"any":                  {metav1.ListOptions{ResourceVersion: "0"}, "ADDED a,ADDED b"},
		"after a":              {metav1.ListOptions{ResourceVersion: first}, "ADDED b"},
		"list and watch":       {metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: "NotOlderThan", AllowWatchBookmarks: true}, "ADDED a,ADDED b,BOOKMARK end"},
		"initial, no bookmark": {metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: "NotOlderThan"}, "ADDED a,ADDED b"},
		"initial after a": {metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: "NotOlderThan", AllowWatchBookmarks: true,
			ResourceVersion: first}, "ADDED a,ADDED b,BOOKMARK end"},
		"none":                   {metav1.ListOptions{SendInitialEvents: &no, ResourceVersionMatch: "NotOlderThan"}, ""},
		"bookmarks as of old":    {metav1.ListOptions{AllowWatchBookmarks: true}, "ADDED a,ADDED b,BOOKMARK"},
		"bookmark after history": {metav1.ListOptions{AllowWatchBookmarks: true, ResourceVersion: first}, "ADDED b,BOOKMARK"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			a := c.mustCreate(t, podsR, pod("a")).(*corev1.Pod)
			c.mustCreate(t, podsR, pod("b"))
			c.mustGet(t, podsR, "b") // the cache has seen it
			if tc.o.ResourceVersion == first {
				tc.o.ResourceVersion = a.ResourceVersion
			}
			w := c.watch(t, tc.o)
			want := strings.Split(tc.want, ",")
			if tc.want == "" {
				want = nil
			}
			expect(t, w, want...)
			const later = "later"
			c.mustCreate(t, podsR, pod(later))
			expect(t, w, "ADDED "+later)
			if _, err := c.Delete(t.Context(), at(podsR, later), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			expect(t, w, "DELETED "+later)
		})
	}
}

func TestWatchSelectorTransitions(t *testing.T) {
	c := newCluster(t)
	byLabel := c.watch(t, metav1.ListOptions{LabelSelector: "tier=x"})
	byNode := c.watch(t, metav1.ListOptions{FieldSelector: "spec.nodeName=n"})
	byName := c.watch(t, metav1.ListOptions{FieldSelector: "metadata.name=q"})
	c.mustCreate(t, podsR, pod("p"))
	c.mustCreate(t, podsR, pod("q"))
	expect(t, byName, "ADDED q")
	c.patch(t, "p", `{"metadata":{"labels":{"tier":"x"}}}`)
	expect(t, byLabel, "ADDED p")
	if _, err := c.Create(t.Context(), sub(podsR, "p", "binding"), binding("p", "n"), registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, byLabel, "MODIFIED p")
	expect(t, byNode, "ADDED p")
	c.patch(t, "p", `{"metadata":{"labels":{"tier":"y"}}}`)
	expect(t, byLabel, "DELETED p")
	expect(t, byNode, "MODIFIED p")
	zero := int64(0)
	if _, err := c.Delete(t.Context(), at(podsR, "p"), metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	expect(t, byNode, "DELETED p")
	c.patch(t, "q", `{"metadata":{"labels":{"tier":"x"}}}`)
	expect(t, byName, "MODIFIED q")
	expect(t, byLabel, "ADDED q")
}

// A client that was cut off knows the resourceVersion of the last event that it
// read, and not that the transaction had others.
func TestWatchResumedInsideARevision(t *testing.T) {
	c := newCluster(t)
	results, err := c.Batch(t.Context(), []registry.BatchItem{createItem("a"), createItem("b"), createItem("c")}, true)
	if err != nil {
		t.Fatal(err)
	}
	rv := fmt.Sprint(results[0].Result.Revision)
	w := c.watch(t, metav1.ListOptions{ResourceVersion: rv})
	one := c.watch(t, metav1.ListOptions{ResourceVersion: rv, FieldSelector: "metadata.name=b"})
	c.patch(t, "b", `{"metadata":{"labels":{"tier":"x"}}}`)
	expect(t, w, "ADDED a", "ADDED b", "ADDED c", "MODIFIED b")
	expect(t, one, "MODIFIED b")
}

// A list after a batch is at a revision of one object, so that a watch from
// there repeats nothing of the batch.
func TestWatchAfterABatchRepeatsNothing(t *testing.T) {
	c := newCluster(t)
	var creates, deletes []registry.BatchItem
	for i := range 300 {
		name := fmt.Sprintf("p-%03d", i)
		creates = append(creates, createItem(name))
		deletes = append(deletes, registry.BatchItem{Verb: "delete", Target: at(podsR, name), Delete: *metav1.NewDeleteOptions(0)})
	}
	// The last item has nothing to write.
	creates = append(creates, createItem("p-000"))
	for i, items := range [][]registry.BatchItem{creates, deletes} {
		if _, err := c.Batch(t.Context(), items, false); err != nil {
			t.Fatal(err)
		}
		w := c.watch(t, metav1.ListOptions{ResourceVersion: fmt.Sprint(c.list(t, metav1.ListOptions{}).Revision)})
		name := fmt.Sprint("next", i)
		c.mustCreate(t, podsR, pod(name))
		expect(t, w, "ADDED "+name)
	}
}

func TestWatchSelectsNothing(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("p"))
	all := c.watch(t, metav1.ListOptions{})
	var nothing []registry.BatchWatcher
	for _, selector := range []string{"metadata.name=", "metadata.namespace=", "metadata.name=p,metadata.name=q"} {
		nothing = append(nothing, c.watch(t, metav1.ListOptions{FieldSelector: selector, AllowWatchBookmarks: true}).(registry.BatchWatcher))
	}
	c.patch(t, "p", `{"metadata":{"labels":{"tier":"x"}}}`)
	expect(t, all, "ADDED p", "MODIFIED p")
	for i, w := range nothing {
		events, err := w.Next(t.Context())
		if err != nil || len(events) != 1 || events[0].Type != watch.Bookmark {
			t.Errorf("selector %d: %v, %v", i, events, err)
		}
	}
}

func TestWatchEnds(t *testing.T) {
	c := newCluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := c.Watch(ctx, at(podsR, ""), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case _, ok := <-w.Events():
		if ok || w.Err() != nil {
			t.Errorf("open %v, err %v", ok, w.Err())
		}
	case <-time.After(time.Minute):
		t.Fatal("the watch outlives its context")
	}
	w.Stop()
	_, err = c.Watch(t.Context(), at(podsR, ""), metav1.ListOptions{FieldSelector: "spec.nope=x"})
	wantStatus(t, err, 400, metav1.StatusReasonBadRequest, "field label not supported: spec.nope")
	_, err = c.Watch(t.Context(), at(podsR, ""), metav1.ListOptions{ResourceVersionMatch: "NotOlderThan"})
	wantStatus(t, err, 422, metav1.StatusReasonInvalid, `ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: `+
		`resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided`)
}

func TestWatchTooOld(t *testing.T) {
	c := newCluster(t)
	for i := range 9000 / 250 {
		var items []registry.BatchItem
		for j := range 250 {
			items = append(items, registry.BatchItem{Verb: "create", Target: at(podsR, ""), Object: pod(fmt.Sprintf("p-%d-%d", i, j))})
		}
		if _, err := c.Batch(t.Context(), items, false); err != nil {
			t.Fatal(err)
		}
	}
	c.list(t, metav1.ListOptions{Limit: 1}) // the cache has seen all
	_, err := c.Watch(t.Context(), at(podsR, ""), metav1.ListOptions{ResourceVersion: "2"})
	wantStatus(t, err, 410, metav1.StatusReasonExpired, "too old resource version: 2")
}

func TestWatchInBatches(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("a"))
	w := c.watch(t, metav1.ListOptions{}).(registry.BatchWatcher)
	events, err := w.Next(t.Context())
	if err != nil || len(events) != 1 || show(events[0]) != "ADDED a" {
		t.Fatalf("%v, %v", events, err)
	}
	go w.Stop()
	if events, err = w.Next(t.Context()); err == nil {
		t.Errorf("events %v after Stop", events)
	}
}
