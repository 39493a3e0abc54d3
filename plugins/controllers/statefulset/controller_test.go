package statefulset

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// world is a store with one StatefulSet, and its controller.
type world struct {
	*sdktest.Store
	client.Client // of the test
	as            client.Client
	r             *reconciler
	result        controller.Result
}

func newWorld(t testing.TB, set *appsv1.StatefulSet, others ...client.Object) *world {
	t.Helper()
	s, err := sdktest.NewStore(append([]client.Object{set}, others...)...)
	if err != nil {
		t.Fatal(err)
	}
	return &world{Store: s, Client: s.Client(), as: s.Client(), r: &reconciler{known: map[known]bool{}}}
}

// reconcile runs the controller once.
func (w *world) reconcile(t testing.TB) {
	t.Helper()
	if err := w.try(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) try() (err error) {
	w.result, err = w.r.reconcile(w.as, controller.Request{Namespace: "default", Name: "web"})
	return err
}

func (w *world) set(t testing.TB) *appsv1.StatefulSet {
	t.Helper()
	s := &appsv1.StatefulSet{}
	must(t, w.Get(s, "default", "web"))
	return s
}

func (w *world) change(t testing.TB, f func(*appsv1.StatefulSet)) {
	t.Helper()
	s := w.set(t)
	s.Generation++
	f(s)
	must(t, w.Update(s))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) pod(t testing.TB, name string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	must(t, w.Get(p, "default", name))
	return p
}

// ready is what a node does with a pod; at is when it got ready.
func (w *world) ready(t testing.TB, name string, at metav1.Time) {
	t.Helper()
	p := w.pod(t, name)
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at}}
	must(t, w.UpdateStatus(p))
}

// keys are the names of what is in the store of a resource.
func (w *world) keys(resource string) (names []string) {
	for _, k := range w.Keys() {
		if name, ok := strings.CutPrefix(k, resource+"/default/"); ok {
			names = append(names, name)
		}
	}
	return names
}

func (w *world) notes() string {
	out := strings.Join(w.Notes, "\n")
	w.Notes = nil
	return out
}

// line writes values with spaces between them.
func line(v ...any) string { return strings.TrimSuffix(fmt.Sprintln(v...), "\n") }

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// One pod after the other is made, each with its claim before it and with its
// identity; the last goes first.
func TestLife(t *testing.T) {
	w := newWorld(t, newSet(2, retention(appsv1.DeletePersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType), func(s *appsv1.StatefulSet) {
		s.Annotations = map[string]string{"kubernetes.io/change-cause": "first"}
		s.Spec.Template.Annotations = map[string]string{"a": "b"}
		s.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data"}, {Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	}))
	w.reconcile(t)
	same(t, "events", w.notes(), "web SuccessfulCreate: Create Claim data-web-0 Pod web-0 in StatefulSet web success\nweb SuccessfulCreate: Create Pod web-0 in StatefulSet web successful")
	revisions := w.keys("apps/v1/controllerrevisions")
	if len(revisions) != 1 {
		t.Fatalf("revisions %v", revisions)
	}
	p := w.pod(t, "web-0")
	same(t, "pod", line(p.Labels, p.Annotations, p.GenerateName, p.Spec.Hostname, p.Spec.Subdomain, p.Spec.Containers[0].Image, metav1.IsControlledBy(p, w.set(t))),
		"map[app:web apps.kubernetes.io/pod-index:0 controller-revision-hash:"+revisions[0]+" statefulset.kubernetes.io/pod-name:web-0] map[a:b] web- web-0 web one true")
	var volumes []string
	for _, v := range p.Spec.Volumes {
		volumes = append(volumes, line(v.Name, v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == "data-web-0", v.EmptyDir != nil))
	}
	same(t, "volumes", strings.Join(volumes, ", "), "data true false, tmp false true")
	c := &claim{}
	must(t, w.Get(c, "default", "data-web-0"))
	same(t, "claim", line(c.Labels, metav1.IsControlledBy(c, w.set(t))), "map[app:web tier:db] true")
	r := &appsv1.ControllerRevision{}
	must(t, w.Get(r, "default", revisions[0]))
	same(t, "revision", line(r.Revision, r.Labels["app"], r.Annotations, metav1.IsControlledBy(r, w.set(t))), "1 web map[kubernetes.io/change-cause:first] true")

	w.reconcile(t)
	same(t, "pods while the first is not ready", w.keys("v1/pods"), []string{"web-0"})
	w.ready(t, "web-0", "2026-01-01T00:00:00Z")
	w.reconcile(t)
	w.ready(t, "web-1", "2026-01-01T00:00:00Z")
	w.reconcile(t)
	same(t, "pods", w.keys("v1/pods"), []string{"web-0", "web-1"})
	s := w.set(t).Status
	same(t, "status", line(s.ObservedGeneration, s.Replicas, s.ReadyReplicas, s.AvailableReplicas, s.CurrentReplicas, s.UpdatedReplicas, s.CurrentRevision == s.UpdateRevision), "3 2 2 2 2 2 true")
	w.notes()
	w.change(t, func(s *appsv1.StatefulSet) { s.Spec.Replicas = new(int32) })
	w.reconcile(t)
	same(t, "pods when the last is removed", w.keys("v1/pods"), []string{"web-0"})
	w.reconcile(t)
	same(t, "events of the removal", w.notes(), "web SuccessfulDelete: Delete Pod web-1 in StatefulSet web successful\nweb SuccessfulDelete: Delete Pod web-0 in StatefulSet web successful")
	same(t, "claims that are left", w.keys("v1/persistentvolumeclaims"), []string{"data-web-0", "data-web-1"})
}

// What is as it should be costs no write.
func TestQuiet(t *testing.T) {
	w := newWorld(t, newSet(2, parallel, storage))
	w.reconcile(t)
	same(t, "pods", w.keys("v1/pods"), []string{"web-0", "web-1"})
	for _, p := range []string{"web-0", "web-1"} {
		w.ready(t, p, "2026-01-01T00:00:00Z")
	}
	w.reconcile(t)
	w.as = &failing{Client: w.Client}
	w.reconcile(t)
	w.reconcile(t)
}

// failing fails at writes after the first few.
type failing struct {
	client.Client
	after int
	err   error
	// before, when set, sees each write of a batch that is made.
	before func(client.Op)
}

var errKilled = errors.New("killed")

func (f *failing) write() error {
	if f.after--; f.after >= 0 {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	return errKilled
}

func (f *failing) Create(o client.Object) error {
	if err := f.write(); err != nil {
		return err
	}
	return f.Client.Create(o)
}

func (f *failing) UpdateStatus(o client.Object) error {
	if err := f.write(); err != nil {
		return err
	}
	return f.Client.UpdateStatus(o)
}

func (f *failing) Patch(o client.Object, p client.Patch) error {
	if err := f.write(); err != nil {
		return err
	}
	return f.Client.Patch(o, p)
}

func (f *failing) Delete(o client.Object, p client.DeleteOptions) error {
	if err := f.write(); err != nil {
		return err
	}
	return f.Client.Delete(o, p)
}

func (f *failing) Batch(ops []client.Op, _ bool) ([]error, error) {
	errs := make([]error, len(ops))
	for i := range ops {
		if errs[i] = f.write(); errs[i] != nil {
			continue
		}
		if f.before != nil {
			f.before(ops[i])
		}
		one, err := f.Client.Batch(ops[i:i+1], false)
		if err != nil {
			return nil, err
		}
		errs[i] = one[0]
	}
	return errs, nil
}

// What cannot be made is told, once for a batch, and the status is written all the
// same.
func TestFailures(t *testing.T) {
	w := newWorld(t, newSet(3, parallel))
	w.as = &failing{Client: w.Client, after: 1, err: errors.New("quota")}
	if err := w.try(); err == nil || !strings.Contains(err.Error(), "quota") {
		t.Errorf("error = %v", err)
	}
	same(t, "events", w.notes(), "web FailedCreate: Create Pod web-0 in StatefulSet web failed error: quota")
	w.as = &failing{Client: w.Client, after: 1000}
	w.reconcile(t)
	same(t, "pods", w.keys("v1/pods"), []string{"web-0", "web-1", "web-2"})

	w = newWorld(t, newSet(1, storage))
	w.as = &failing{Client: w.Client, after: 1, err: errors.New("no storage")}
	if err := w.try(); err == nil {
		t.Error("no error")
	}
	same(t, "events of a claim", w.notes(), "web FailedCreate: Create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: no storage\n"+
		"web FailedCreate: Create Pod web-0 in StatefulSet web failed error: failed to create PVC data-web-0: no storage")
	same(t, "no pod without its claim", len(w.keys("v1/pods")), 0)

	// Somebody else's pod has the name.
	other := &corev1.Pod{}
	other.Namespace, other.Name = "default", "web-0"
	other.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(&metav1.ObjectMeta{Name: "x", UID: "x"}, "v1", "ConfigMap")}
	w = newWorld(t, newSet(1), other)
	if err := w.try(); !client.IsAlreadyExists(err) {
		t.Errorf("error = %v, want that it exists", err)
	}
	same(t, "events", w.notes(), "")
	if w.set(t).Status.ObservedGeneration != 3 {
		t.Error("the status is not written")
	}
}

// Beyond a hundred pods of one batch an event tells the number.
func TestNotesOfMany(t *testing.T) {
	w := newWorld(t, newSet(700, parallel))
	w.reconcile(t)
	same(t, "events", w.notes(), "web SuccessfulCreate: Create 500 Pods in StatefulSet web successful")
	same(t, "looks again", w.result.RequeueAfter, soon)
	w.reconcile(t)
	same(t, "events", w.notes(), "web SuccessfulCreate: Create 200 Pods in StatefulSet web successful")
	same(t, "looks again", w.result.RequeueAfter, 0*soon)
	same(t, "pods", len(w.keys("v1/pods")), 700)
}

// Recreate is behind a gate that is off.
func TestRecreate(t *testing.T) {
	w := newWorld(t, newSet(1, func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.Type = appsv1.RecreateStatefulSetStrategyType }))
	if err := w.try(); err == nil {
		t.Error("no error")
	}
	same(t, "events", w.notes(), "web UnknownStrategy: statefulset default/web uses Recreate strategy but feature gate StatefulSetRecreateStrategy is disabled")
}
