package registry_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

func newEtcdCluster(t testing.TB) *cluster {
	t.Helper()
	s, err := embed.Start(t.Context(), embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close etcd: %v", err)
		}
	})
	return newClusterOn(t, s.Store())
}

// The store in memory stands for etcd in the other tests; here is etcd.
func TestOnEtcd(t *testing.T) {
	c := newEtcdCluster(t)
	const n = 1200
	var creates, binds []registry.BatchItem
	for i := range n {
		name := fmt.Sprintf("p-%04d", i)
		creates = append(creates, registry.BatchItem{Verb: "create", Target: at(podsR, ""), Object: benchPod(name)})
		binds = append(binds, bindItem(name))
	}
	for _, items := range [][]registry.BatchItem{creates, binds} {
		results, err := c.Batch(t.Context(), items, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil {
				t.Fatalf("item %d: %v", i, r.Err)
			}
		}
	}
	first := c.list(t, metav1.ListOptions{Limit: 500, FieldSelector: "spec.nodeName=n"})
	if len(first.Items) != 500 || first.Continue == "" {
		t.Fatalf("%d items, continue %q", len(first.Items), first.Continue)
	}
	if _, err := c.Delete(t.Context(), at(podsR, "p-0700"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	rest := c.list(t, metav1.ListOptions{Continue: first.Continue, FieldSelector: "spec.nodeName=n"})
	if len(rest.Items) != n-500 {
		t.Errorf("%d items on the second page, want %d", len(rest.Items), n-500)
	}
	exact := c.list(t, metav1.ListOptions{ResourceVersion: fmt.Sprint(first.Revision - 1), ResourceVersionMatch: "Exact"})
	if len(exact.Items) != n {
		t.Errorf("%d items in history, want %d", len(exact.Items), n)
	}
	p := c.mustGet(t, podsR, "p-0001").(*corev1.Pod)
	old := p.DeepCopy()
	old.ResourceVersion = "2"
	if _, err := c.Update(t.Context(), at(podsR, "p-0001"), old, registry.WriteOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("old resourceVersion: %v", err)
	}
	_, err := c.Create(t.Context(), at(podsR, ""), benchPod("p-0001"), registry.WriteOptions{})
	wantStatus(t, err, 409, metav1.StatusReasonAlreadyExists, `pods "p-0001" already exists`)
}
