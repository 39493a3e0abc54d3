package registry_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/registry"
)

func TestDeleteAnswersStatus(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, configMapsR, configMap("a", nil)).(*corev1.ConfigMap)
	res, err := c.Delete(t.Context(), at(configMapsR, "a"), metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{Name: "a", Kind: "configmaps", UID: made.UID}}
	if diff := cmp.Diff(want, res.Answer); diff != "" || res.Deleting {
		t.Errorf("deleting %v, answer (-want +got):\n%s", res.Deleting, diff)
	}
	_, err = c.Get(t.Context(), at(configMapsR, "a"), metav1.GetOptions{})
	wantStatus(t, err, 404, metav1.StatusReasonNotFound, `configmaps "a" not found`)
	_, err = c.Delete(t.Context(), at(configMapsR, "a"), metav1.DeleteOptions{})
	wantStatus(t, err, 404, metav1.StatusReasonNotFound, `configmaps "a" not found`)
}

func TestDeletePreconditions(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, configMapsR, configMap("a", nil)).(*corev1.ConfigMap)
	uid, rv := types.UID("u"), "7"
	_, err := c.Delete(t.Context(), at(configMapsR, "a"), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	wantStatus(t, err, 409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (u) `+
		`does not match the UID in record (`+string(made.UID)+`). The object might have been deleted and then recreated`)
	_, err = c.Delete(t.Context(), at(configMapsR, "a"), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &rv}})
	wantStatus(t, err, 409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (7) `+
		`does not match the ResourceVersion in record (`+made.ResourceVersion+`). The object might have been modified`)
	ok := metav1.Preconditions{UID: &made.UID, ResourceVersion: &made.ResourceVersion}
	if _, err := c.Delete(t.Context(), at(configMapsR, "a"), metav1.DeleteOptions{Preconditions: &ok}); err != nil {
		t.Error(err)
	}
}

func TestFinalizersHoldAnObject(t *testing.T) {
	c := newCluster(t)
	d := deployment("d", 1)
	d.Finalizers = []string{"example.com/hold"}
	made := c.mustCreate(t, deploymentsR, d).(*appsv1.Deployment)
	res, err := c.Delete(t.Context(), at(deploymentsR, "d"), metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := res.Object.Obj.(*appsv1.Deployment)
	if !res.Deleting || got.DeletionTimestamp == nil || *got.DeletionGracePeriodSeconds != 0 || got.Generation != made.Generation+1 {
		t.Errorf("deleting %v, metadata %+v", res.Deleting, got.ObjectMeta)
	}
	// Deleting again changes nothing.
	again, err := c.Delete(t.Context(), at(deploymentsR, "d"), metav1.DeleteOptions{})
	if err != nil || !again.Deleting || again.Object.Revision != res.Object.Revision {
		t.Errorf("second delete: %+v, %v", again, err)
	}
	// An update may change the spec, but not take the deletion back.
	in := got.DeepCopy()
	in.DeletionTimestamp, in.DeletionGracePeriodSeconds = nil, nil
	in.Labels = map[string]string{"x": "y"}
	upd, err := c.Update(t.Context(), at(deploymentsR, "d"), in, registry.WriteOptions{})
	if err != nil || upd.Object.Obj.(*appsv1.Deployment).DeletionTimestamp == nil {
		t.Fatalf("update: %v", err)
	}
	// The last finalizer goes, and the object with it.
	end, err := c.Patch(t.Context(), at(deploymentsR, "d"), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if end.Object.Obj.(*appsv1.Deployment).Name != "d" {
		t.Error("the answer must be the object")
	}
	if _, err := c.Get(t.Context(), at(deploymentsR, "d"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
}

func TestPropagationPolicy(t *testing.T) {
	orphan, foreground, background := metav1.DeletePropagationOrphan, metav1.DeletePropagationForeground, metav1.DeletePropagationBackground
	yes, no := true, false
	for name, tc := range map[string]struct {
		has  []string
		o    metav1.DeleteOptions
		want []string
	}{
		"background":             {nil, metav1.DeleteOptions{PropagationPolicy: &background}, nil},
		"default":                {nil, metav1.DeleteOptions{}, nil},
		"orphan":                 {nil, metav1.DeleteOptions{PropagationPolicy: &orphan}, []string{"orphan"}},
		"foreground":             {nil, metav1.DeleteOptions{PropagationPolicy: &foreground}, []string{"foregroundDeletion"}},
		"orphanDependents":       {nil, metav1.DeleteOptions{OrphanDependents: &yes}, []string{"orphan"}},
		"not orphanDependents":   {[]string{"orphan"}, metav1.DeleteOptions{OrphanDependents: &no}, nil},
		"finalizer in place":     {[]string{"foregroundDeletion"}, metav1.DeleteOptions{}, []string{"foregroundDeletion"}},
		"policy over finalizer":  {[]string{"foregroundDeletion"}, metav1.DeleteOptions{PropagationPolicy: &orphan}, []string{"orphan"}},
		"other finalizers stay":  {[]string{"a.com/x"}, metav1.DeleteOptions{PropagationPolicy: &orphan}, []string{"a.com/x", "orphan"}},
		"background drops ours":  {[]string{"a.com/x", "orphan"}, metav1.DeleteOptions{PropagationPolicy: &background}, []string{"a.com/x"}},
		"background drops alone": {[]string{"orphan"}, metav1.DeleteOptions{PropagationPolicy: &background}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			d := deployment("d", 1)
			d.Finalizers = tc.has
			c.mustCreate(t, deploymentsR, d)
			res, err := c.Delete(t.Context(), at(deploymentsR, "d"), tc.o)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == nil {
				if res.Deleting {
					t.Errorf("still there: %v", res.Object.Obj.(*appsv1.Deployment).Finalizers)
				}
				return
			}
			if diff := cmp.Diff(tc.want, res.Object.Obj.(*appsv1.Deployment).Finalizers); diff != "" {
				t.Error(diff)
			}
		})
	}
	c := newCluster(t)
	c.mustCreate(t, deploymentsR, deployment("d", 1))
	_, err := c.Delete(t.Context(), at(deploymentsR, "d"), metav1.DeleteOptions{PropagationPolicy: &orphan, OrphanDependents: &yes})
	if !apierrors.IsInvalid(err) {
		t.Errorf("both policies: %v", err)
	}
}

func TestGracefulDeletion(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	c := newCluster(t, func(cfg *registry.Config) { cfg.Clock = clock })
	p := pod("p")
	p.Spec.NodeName = "n"
	made := c.mustCreate(t, podsR, p).(*corev1.Pod)
	del := func(o metav1.DeleteOptions) (*corev1.Pod, bool) {
		t.Helper()
		res, err := c.Delete(t.Context(), at(podsR, "p"), o)
		if err != nil {
			t.Fatal(err)
		}
		return res.Object.Obj.(*corev1.Pod), res.Deleting
	}
	seconds := func(n int64) metav1.DeleteOptions { return metav1.DeleteOptions{GracePeriodSeconds: &n} }
	start := clock.Now()
	check := func(got *corev1.Pod, deleting bool, at time.Time, grace int64) {
		t.Helper()
		if !deleting || !got.DeletionTimestamp.Time.Equal(at) || *got.DeletionGracePeriodSeconds != grace || got.Generation != made.Generation+1 {
			t.Errorf("deleting %v, at %v, want %v, grace %d, want %d, generation %d",
				deleting, got.DeletionTimestamp, at, *got.DeletionGracePeriodSeconds, grace, got.Generation)
		}
	}
	got, deleting := del(metav1.DeleteOptions{})
	check(got, deleting, start.Add(30*time.Second), 30)
	rv := got.ResourceVersion
	if got, _ = del(seconds(60)); got.ResourceVersion != rv {
		t.Error("a longer grace must have no effect")
	}
	clock.SetTime(start.Add(4 * time.Second))
	got, deleting = del(seconds(10))
	check(got, deleting, start.Add(10*time.Second), 10)
	clock.SetTime(start.Add(8 * time.Second))
	got, deleting = del(seconds(5)) // over already: one second is left
	check(got, deleting, start.Add(8*time.Second), 1)
	got, deleting = del(seconds(0))
	if deleting || got.Name != "p" {
		t.Errorf("deleting %v, pod %q", deleting, got.Name)
	}
	if _, err := c.Get(t.Context(), at(podsR, "p"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
}

func TestGracefulDeletionWithFinalizer(t *testing.T) {
	c := newCluster(t)
	p := pod("p")
	p.Spec.NodeName, p.Finalizers = "n", []string{"a.com/x"}
	c.mustCreate(t, podsR, p)
	zero := int64(0)
	res, err := c.Delete(t.Context(), at(podsR, "p"), metav1.DeleteOptions{GracePeriodSeconds: &zero})
	if err != nil || !res.Deleting {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := c.Patch(t.Context(), at(podsR, "p"), types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`), registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), at(podsR, "p"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
}

func TestNamespaceDeletion(t *testing.T) {
	c := newCluster(t)
	_, err := c.Delete(t.Context(), at(namespacesR, "default"), metav1.DeleteOptions{})
	wantStatus(t, err, 403, metav1.StatusReasonForbidden, `namespaces "default" is forbidden: this namespace may not be deleted`)
	c.mustCreate(t, namespacesR, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x"}})
	res, err := c.Delete(t.Context(), at(namespacesR, "x"), metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := res.Object.Obj.(*corev1.Namespace)
	if !res.Deleting || got.Status.Phase != corev1.NamespaceTerminating || got.DeletionTimestamp == nil || got.DeletionGracePeriodSeconds != nil {
		t.Errorf("deleting %v: %+v", res.Deleting, got)
	}
	if res, err = c.Delete(t.Context(), at(namespacesR, "x"), metav1.DeleteOptions{}); err != nil || !res.Deleting {
		t.Errorf("second delete: %+v, %v", res, err)
	}
	fin := got.DeepCopy()
	fin.Spec.Finalizers, fin.ResourceVersion = nil, ""
	if _, err := c.Update(t.Context(), sub(namespacesR, "x", "finalize"), fin, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), at(namespacesR, "x"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
}

func TestDeleteDryRun(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, configMapsR, configMap("a", nil))
	res, err := c.Delete(t.Context(), at(configMapsR, "a"), metav1.DeleteOptions{DryRun: []string{"All"}})
	if err != nil || res.Answer == nil {
		t.Fatalf("%+v, %v", res, err)
	}
	c.mustGet(t, configMapsR, "a")
}

func TestDeleteCollection(t *testing.T) {
	c := newCluster(t)
	for _, name := range []string{"a", "b", "c"} {
		m := configMap(name, nil)
		if name != "b" {
			m.Labels = map[string]string{"gone": "yes"}
		}
		c.mustCreate(t, configMapsR, m)
	}
	got, err := c.DeleteCollection(t.Context(), at(configMapsR, ""), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "gone=yes"})
	if err != nil || len(got.Items) != 2 || got.Revision == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	left, err := c.List(t.Context(), at(configMapsR, ""), metav1.ListOptions{})
	if err != nil || len(left.Items) != 1 || left.Items[0].Name != "b" {
		t.Errorf("left %v, %v", left, err)
	}
}

// An empty value is a value: a selector that nothing can match must not become
// one that everything matches.
func TestDeleteCollectionSelectsNothing(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, configMapsR, configMap("a", nil))
	for _, selector := range []string{"metadata.name=", "metadata.namespace=", "metadata.name=a,metadata.name=b", "metadata.name=a,metadata.name!=a"} {
		got, err := c.DeleteCollection(t.Context(), at(configMapsR, ""), metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: selector})
		if err != nil || len(got.Items) != 0 {
			t.Errorf("%s: deleted %+v, %v", selector, got, err)
		}
	}
	c.mustGet(t, configMapsR, "a")
	got, err := c.DeleteCollection(t.Context(), at(namespacesR, ""), metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.namespace=x"})
	if err != nil || len(got.Items) != 0 {
		t.Errorf("a namespace of cluster-scoped objects: deleted %+v, %v", got, err)
	}
}

// With a limit a client deletes page by page, and must be told how to go on.
func TestDeleteCollectionPages(t *testing.T) {
	c := newCluster(t)
	for i := range 5 {
		c.mustCreate(t, configMapsR, configMap(fmt.Sprint("m", i), nil))
	}
	page := metav1.ListOptions{Limit: 2}
	for _, want := range []int{2, 2, 1} {
		got, err := c.DeleteCollection(t.Context(), at(configMapsR, ""), metav1.DeleteOptions{}, page)
		if err != nil || len(got.Items) != want || (got.Continue != "") != (want == 2) {
			t.Fatalf("want %d items: %+v, %v", want, got, err)
		}
		page.Continue = got.Continue
	}
	left, err := c.List(t.Context(), at(configMapsR, ""), metav1.ListOptions{})
	if err != nil || len(left.Items) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestCompanions(t *testing.T) {
	c := newCluster(t)
	service := func(name string) *corev1.Service { return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	a := c.mustCreate(t, servicesR, service("a")).(*corev1.Service)
	b := c.mustCreate(t, servicesR, service("b")).(*corev1.Service)
	if a.Spec.ClusterIP != "10.0.0.1" || b.Spec.ClusterIP != "10.0.0.2" {
		t.Errorf("addresses %s, %s", a.Spec.ClusterIP, b.Spec.ClusterIP)
	}
	ip := c.mustGet(t, configMapsR, "10.0.0.1").(*corev1.ConfigMap)
	if ip.Data["service"] != "a" || ip.UID == "" || ip.ResourceVersion != a.ResourceVersion {
		t.Errorf("companion %+v of %s", ip, a.ResourceVersion)
	}
	if _, err := c.Delete(t.Context(), at(servicesR, "a"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), at(configMapsR, "10.0.0.1"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("companion after delete: %v", err)
	}
	// In a batch, all choose the same address first; each gets its own.
	var items []registry.BatchItem
	for _, name := range []string{"c", "d", "e", "f"} {
		items = append(items, registry.BatchItem{Verb: "create", Target: at(servicesR, ""), Object: service(name)})
	}
	results, err := c.Batch(t.Context(), items, false)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		seen[r.Result.Object.Obj.(*corev1.Service).Spec.ClusterIP] = true
	}
	if len(seen) != 4 {
		t.Errorf("addresses %v", seen)
	}
}
