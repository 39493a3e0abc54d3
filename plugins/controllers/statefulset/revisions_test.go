package statefulset

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pintle-io/pintle/plugins/history"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

func (w *world) image(t testing.TB, name string) {
	w.change(t, func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = name })
}

// images are what the revisions hold, in their order.
func (w *world) images(t testing.TB) (out []string) {
	t.Helper()
	var all []*appsv1.ControllerRevision
	must(t, w.List(&all, client.ListOptions{Namespace: "default"}))
	history.Sort(all)
	for _, r := range all {
		tpl, err := history.Template(r)
		must(t, err)
		out = append(out, fmt.Sprint(r.Revision, " ", tpl.Spec.Containers[0].Image))
	}
	return out
}

// Templates are kept as revisions; one that comes back is the newest again, and
// what nothing uses goes beyond the limit.
func TestRevisions(t *testing.T) {
	w := newWorld(t, newSet(1, func(s *appsv1.StatefulSet) { *s.Spec.RevisionHistoryLimit = 2 }))
	settle := func() {
		t.Helper()
		for range 4 {
			w.reconcile(t)
			if slices.Contains(w.keys("v1/pods"), "web-0") {
				w.ready(t, "web-0", "2026-01-01T00:00:00Z")
			}
		}
		s := w.set(t).Status
		if s.CurrentRevision != s.UpdateRevision || w.pod(t, "web-0").Labels[appsv1.StatefulSetRevisionLabel] != s.UpdateRevision {
			t.Fatalf("status %+v", s)
		}
	}
	settle()
	w.image(t, "two")
	settle()
	w.image(t, "three")
	settle()
	same(t, "revisions", w.images(t), []string{"1 one", "2 two", "3 three"})
	w.image(t, "one")
	settle()
	same(t, "revisions after a return", w.images(t), []string{"2 two", "3 three", "4 one"})
	same(t, "image", w.pod(t, "web-0").Spec.Containers[0].Image, "one")
	w.image(t, "four")
	settle()
	same(t, "revisions beyond the limit", w.images(t), []string{"3 three", "4 one", "5 four"})
}

// While an update is on its way, pods below the partition are made of the revision
// that was.
func TestPartitionMakesTheOldOne(t *testing.T) {
	w := newWorld(t, newSet(2, parallel, partition(1)))
	w.reconcile(t)
	for _, p := range []string{"web-0", "web-1"} {
		w.ready(t, p, "2026-01-01T00:00:00Z")
	}
	w.reconcile(t)
	w.image(t, "two")
	w.reconcile(t)
	same(t, "pods", w.keys("v1/pods"), []string{"web-0"})
	must(t, w.Delete(w.pod(t, "web-0"), client.DeleteOptions{}))
	w.reconcile(t)
	same(t, "images", w.pod(t, "web-0").Spec.Containers[0].Image+" "+w.pod(t, "web-1").Spec.Containers[0].Image, "one two")
	if s := w.set(t).Status; s.CurrentRevision == s.UpdateRevision {
		t.Errorf("status %+v", s)
	}
}
