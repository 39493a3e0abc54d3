package statefulset

import (
	"fmt"
	"testing"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// A pod waits for the end of a claim without an error, and is made when it is gone.
func TestHeldByClaim(t *testing.T) {
	at := metav1.Time("2026-01-01T00:00:00Z")
	c := &corev1.PersistentVolumeClaim{}
	c.Namespace, c.Name, c.Finalizers, c.DeletionTimestamp, c.Labels = "default", "data-web-0", []string{"a/b"}, &at, map[string]string{"app": "web", "x": "y"}
	w := newWorld(t, newSet(1, storage), c)
	w.reconcile(t)
	same(t, "events", w.notes(), "web FailedCreate: Create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted")
	same(t, "pods", len(w.keys("v1/pods")), 0)
	must(t, client.RemoveFinalizer(w.Client, c, "a/b"))
	requests := claimGone(sdktest.Value(t, c))
	if len(requests) != 1 {
		t.Fatalf("the end of a claim requests %v", requests)
	}
	res, err := w.r.reconcile(w.as, requests[0])
	must(t, err)
	same(t, "woken", fmt.Sprint(res.Enqueue), fmt.Sprint([]controller.Request{{Namespace: "default", Name: "web"}}))
	w.reconcile(t)
	same(t, "pods", w.keys("v1/pods"), []string{"web-0"})
}

// The claims that a set is given are used, whatever their labels.
func TestClaimWithoutLabels(t *testing.T) {
	c := &corev1.PersistentVolumeClaim{}
	c.Namespace, c.Name = "default", "data-web-0"
	w := newWorld(t, newSet(1, retention(appsv1.DeletePersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)), c)
	w.reconcile(t)
	got := &claim{}
	must(t, w.Get(got, "default", "data-web-0"))
	same(t, "claim", line(got.UID == c.UID, metav1.IsControlledBy(got, w.set(t))), "true true")
	same(t, "pods", w.keys("v1/pods"), []string{"web-0"})
}

// The end of a claim without the set's labels wakes nobody: as long as one is in
// the way of a pod, the controller looks again by itself.
func TestLooksAgainForClaim(t *testing.T) {
	const keep, drop = appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	at := metav1.Time("2026-01-01T00:00:00Z")
	going := func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &at }
	earlier := func(c *corev1.PersistentVolumeClaim) {
		c.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(&metav1.ObjectMeta{Name: "web-0", UID: "earlier"}, "v1", "Pod")}
	}
	for name, tc := range map[string]struct {
		set  *appsv1.StatefulSet
		mark func(*corev1.PersistentVolumeClaim)
	}{
		"being deleted":             {newSet(1, storage), going},
		"being deleted, parallel":   {newSet(1, storage, parallel), going},
		"an earlier pod's":          {newSet(1, retention(keep, drop)), earlier},
		"an earlier pod's parallel": {newSet(1, retention(keep, drop), parallel), earlier},
	} {
		t.Run(name, func(t *testing.T) {
			c := &corev1.PersistentVolumeClaim{}
			c.Namespace, c.Name, c.Finalizers = "default", "data-web-0", []string{"a/b"}
			tc.mark(c)
			w := newWorld(t, tc.set, c)
			w.reconcile(t)
			same(t, "pods", len(w.keys("v1/pods")), 0)
			same(t, "requests of its end", len(claimGone(sdktest.Value(t, c))), 0)
			same(t, "looks again", w.result.RequeueAfter, retry)
			must(t, w.Delete(c, client.DeleteOptions{}))
			must(t, w.Get(c, "default", "data-web-0"))
			must(t, client.RemoveFinalizer(w.Client, c, "a/b"))
			w.reconcile(t)
			same(t, "pods", w.keys("v1/pods"), []string{"web-0"})
			same(t, "looks again", w.result.RequeueAfter, 0*retry)
		})
	}
}

// A pod that waits for a node does not keep its claim, which is made again.
func TestLooksAgainForClaimOfPending(t *testing.T) {
	w := newWorld(t, newSet(1, storage))
	w.reconcile(t)
	p := w.pod(t, "web-0")
	p.Status.Phase = corev1.PodPending
	must(t, w.UpdateStatus(p))
	c := &corev1.PersistentVolumeClaim{}
	must(t, w.Get(c, "default", "data-web-0"))
	c.Labels, c.Finalizers = nil, []string{"a/b"}
	must(t, w.Update(c))
	must(t, w.Delete(c, client.DeleteOptions{}))
	must(t, w.Get(c, "default", "data-web-0"))
	w.reconcile(t)
	same(t, "looks again", w.result.RequeueAfter, retry)
	must(t, client.RemoveFinalizer(w.Client, c, "a/b"))
	w.reconcile(t)
	same(t, "claims", w.keys("v1/persistentvolumeclaims"), []string{"data-web-0"})
	same(t, "looks again", w.result.RequeueAfter, 0*retry)
}

func orphan(name string, labels map[string]string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.Labels = "default", name, labels
	p.Status.Phase = corev1.PodRunning
	return p
}

// The set takes pods that match and have no owner, and lets go of those that match
// no longer.
func TestAdoptAndRelease(t *testing.T) {
	labels := map[string]string{"app": "web"}
	w := newWorld(t, newSet(3, parallel), orphan("web-0", labels), orphan("web-x", labels), orphan("web-1", map[string]string{"app": "other"}))
	if err := w.try(); !client.IsAlreadyExists(err) { // web-1 is somebody's
		t.Fatal(err)
	}
	owned := func(name string) bool { return metav1.IsControlledBy(w.pod(t, name), w.set(t)) }
	same(t, "owned", line(owned("web-0"), owned("web-x"), owned("web-1"), owned("web-2")), "true false false true")
	same(t, "the adopted one gets its name", w.pod(t, "web-0").Labels[appsv1.StatefulSetPodNameLabel], "web-0")
	p := w.pod(t, "web-2")
	p.Labels = map[string]string{"app": "other"}
	must(t, w.Update(p))
	_ = w.try()
	same(t, "released", owned("web-2"), false)
	res, err := w.r.reconcile(w.as, controller.Request{Namespace: "default", Labels: controller.LabelSetOf(labels)})
	must(t, err)
	same(t, "who may adopt", len(res.Enqueue), 1)
}

// late is a client to which the set is being deleted when it looks again.
type late struct {
	client.Client
	gets int
}

func (l *late) Get(o client.Object, namespace, name string) error {
	err := l.Client.Get(o, namespace, name)
	if set, ok := o.(*appsv1.StatefulSet); ok {
		if l.gets++; l.gets > 1 {
			deleted(set)
		}
	}
	return err
}

// What an orphaning deletion let go just now is not taken back.
func TestAdoptsNothingAtTheEnd(t *testing.T) {
	r := &appsv1.ControllerRevision{Data: []byte(`{}`), Revision: 4}
	r.Namespace, r.Name, r.Labels = "default", "web-1", map[string]string{"app": "web"}
	w := newWorld(t, newSet(1, onDelete), orphan("web-0", map[string]string{"app": "web"}), r)
	l := &late{Client: w.Client}
	w.as = l
	if err := w.try(); !client.IsAlreadyExists(err) { // it is not the set's, so far
		t.Fatal(err)
	}
	if metav1.ControllerOf(w.pod(t, "web-0")) != nil {
		t.Error("the pod is taken")
	}
	must(t, w.Get(r, "default", "web-1"))
	if metav1.ControllerOf(r) != nil {
		t.Error("the revision is taken")
	}
	same(t, "looks once", l.gets, 2)
	w.as = w.Client
	w.reconcile(t)
	if metav1.ControllerOf(w.pod(t, "web-0")) == nil {
		t.Error("the pod is not taken afterwards")
	}
}
