package registry_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

func TestStatus(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, podsR, pod("p")).(*corev1.Pod)
	in := made.DeepCopy()
	in.Spec.NodeName, in.Status.Phase = "elsewhere", corev1.PodRunning
	res, err := c.Update(t.Context(), sub(podsR, "p", "status"), in, registry.WriteOptions{FieldManager: "kubelet"})
	if err != nil {
		t.Fatal(err)
	}
	got := res.Object.Obj.(*corev1.Pod)
	if got.Spec.NodeName != "" || got.Status.Phase != corev1.PodRunning || got.Generation != made.Generation {
		t.Errorf("node %q, phase %s, generation %d", got.Spec.NodeName, got.Status.Phase, got.Generation)
	}
	if got, want := managers(got), "kubelet Update v1 status,test Update v1 "; got != want && got != "test Update v1 ,kubelet Update v1 status" {
		t.Errorf("managers %q", got)
	}
	if _, err := c.Patch(t.Context(), sub(podsR, "p", "status"), types.StrategicMergePatchType,
		[]byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`), registry.WriteOptions{FieldManager: "kubelet"}); err != nil {
		t.Fatal(err)
	}
	if p := c.mustGet(t, podsR, "p").(*corev1.Pod); len(p.Status.Conditions) != 1 {
		t.Errorf("conditions %v", p.Status.Conditions)
	}
	_, err = c.Patch(t.Context(), sub(podsR, "q", "status"), types.MergePatchType, []byte(`{}`), registry.WriteOptions{})
	wantStatus(t, err, 404, metav1.StatusReasonNotFound, `pods "q" not found`)
}

func TestScale(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, deploymentsR, deployment("d", 2))
	x := sub(deploymentsR, "d", "scale")
	got, err := c.GetProjection(t.Context(), x, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale := got.(*autoscalingv1.Scale)
	if scale.Spec.Replicas != 2 || scale.Kind != "Scale" || scale.APIVersion != "autoscaling/v1" {
		t.Errorf("scale %+v", scale)
	}
	scale.Spec.Replicas = 5
	res, err := c.Update(t.Context(), x, scale, registry.WriteOptions{FieldManager: "hpa"})
	if err != nil {
		t.Fatal(err)
	}
	if s := res.Answer.(*autoscalingv1.Scale); s.Spec.Replicas != 5 || s.ResourceVersion == scale.ResourceVersion {
		t.Errorf("answer %+v", s)
	}
	d := c.mustGet(t, deploymentsR, "d").(*appsv1.Deployment)
	if *d.Spec.Replicas != 5 || d.Generation != 2 {
		t.Errorf("replicas %d, generation %d", *d.Spec.Replicas, d.Generation)
	}
	owned := map[string]string{}
	for _, e := range d.ManagedFields {
		owned[e.Manager+"/"+e.Subresource] = e.FieldsV1.GetRawString()
	}
	if got, want := owned["hpa/scale"], `{"f:spec":{"f:replicas":{}}}`; got != want {
		t.Errorf("hpa owns %q, want %q (of %v)", got, want, owned)
	}
	// The old scale is out of date now.
	if _, err = c.Update(t.Context(), x, scale, registry.WriteOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
	scale.ResourceVersion, scale.Spec.Replicas = "", 6
	if _, err = c.Update(t.Context(), x, scale, registry.WriteOptions{}); err != nil {
		t.Error(err)
	}
	for kind, patch := range map[types.PatchType]string{
		types.MergePatchType:          `{"spec":{"replicas":7}}`,
		types.StrategicMergePatchType: `{"spec":{"replicas":7}}`,
		types.JSONPatchType:           `[{"op":"replace","path":"/spec/replicas","value":7}]`,
	} {
		res, err := c.Patch(t.Context(), x, kind, []byte(patch), registry.WriteOptions{FieldManager: "p"})
		if err != nil || res.Answer.(*autoscalingv1.Scale).Spec.Replicas != 7 {
			t.Errorf("%s: %+v, %v", kind, res, err)
		}
	}
	_, err = c.Patch(t.Context(), sub(deploymentsR, "e", "scale"), types.MergePatchType, []byte(`{}`), registry.WriteOptions{})
	wantStatus(t, err, 404, metav1.StatusReasonNotFound, `deployments/scale.apps "e" not found`)
}

func binding(pod, node string) *corev1.Binding {
	return &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}
}

func TestBinding(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, podsR, pod("p")).(*corev1.Pod)
	wrong := binding("p", "n")
	wrong.UID = "u"
	_, err := c.Create(t.Context(), sub(podsR, "p", "binding"), wrong, registry.WriteOptions{})
	wantStatus(t, err, 409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on pods "p": StorageError: invalid object, Code: 4, `+
		`Key: /registry/pods/default/p, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID in object meta: `+string(made.UID))
	res, err := c.Create(t.Context(), sub(podsR, "p", "binding"), binding("p", "n"), registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(runtime.Object(&metav1.Status{Status: metav1.StatusSuccess}), res.Answer); diff != "" {
		t.Error(diff)
	}
	got := c.mustGet(t, podsR, "p").(*corev1.Pod)
	if got.Spec.NodeName != "n" || got.ResourceVersion == made.ResourceVersion || len(got.ManagedFields) != 1 {
		t.Errorf("pod %+v", got)
	}
	_, err = c.Create(t.Context(), sub(podsR, "p", "binding"), binding("p", "m"), registry.WriteOptions{})
	wantStatus(t, err, 409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n"`)
	_, err = c.Create(t.Context(), sub(podsR, "q", "binding"), binding("q", "m"), registry.WriteOptions{})
	wantStatus(t, err, 404, metav1.StatusReasonNotFound, `pods "q" not found`)
}

func TestEviction(t *testing.T) {
	c := newCluster(t)
	p := pod("p")
	p.Spec.NodeName = "n"
	c.mustCreate(t, podsR, p)
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	res, err := c.Create(t.Context(), sub(podsR, "p", "eviction"), eviction, registry.WriteOptions{})
	if err != nil || res.Answer.(*metav1.Status).Status != metav1.StatusSuccess {
		t.Fatalf("%+v, %v", res, err)
	}
	got := c.mustGet(t, podsR, "p").(*corev1.Pod)
	if got.DeletionTimestamp == nil || len(got.Status.Conditions) != 1 {
		t.Errorf("pod %+v, %+v", got.ObjectMeta, got.Status)
	}
	zero := int64(0)
	eviction.DeleteOptions = &metav1.DeleteOptions{GracePeriodSeconds: &zero, DryRun: []string{"All"}}
	if _, err := c.Create(t.Context(), sub(podsR, "p", "eviction"), eviction, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.mustGet(t, podsR, "p") // a dry run in the body counts
	eviction.DeleteOptions.DryRun = nil
	if _, err := c.Create(t.Context(), sub(podsR, "p", "eviction"), eviction, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), at(podsR, "p"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
}

// Evictions at once share a budget in the same writes: it is never overspent.
func TestCompanionsOfActions(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, configMapsR, configMap("budget", map[string]string{"left": "3"}))
	const pods = 8
	for i := range pods {
		p := pod("p" + strconv.Itoa(i))
		p.Spec.NodeName = "n"
		c.mustCreate(t, podsR, p)
	}
	var wg sync.WaitGroup
	var evicted, refused atomic.Int32
	for i := range pods {
		wg.Go(func() {
			name := "p" + strconv.Itoa(i)
			_, err := c.Create(t.Context(), sub(podsR, name, "eviction"), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name}}, registry.WriteOptions{})
			switch {
			case err == nil:
				evicted.Add(1)
			case apierrors.IsTooManyRequests(err):
				refused.Add(1)
			default:
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	var standing string
	for i := range pods {
		if p, err := c.Get(t.Context(), at(podsR, "p"+strconv.Itoa(i)), metav1.GetOptions{}); err == nil && p.Obj.(*corev1.Pod).DeletionTimestamp == nil {
			standing = p.Name
		}
	}
	// What the budget says comes before what the deletion asks for; with room in the budget
	// that is said, and nothing is spent.
	another := types.UID("another")
	stale := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: standing}, DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &another}}}
	if _, err := c.Create(t.Context(), sub(podsR, standing, "eviction"), stale, registry.WriteOptions{}); !apierrors.IsTooManyRequests(err) {
		t.Errorf("another uid, and no room: %v", err)
	}
	setLeft := func(left string) {
		b := c.mustGet(t, configMapsR, "budget").DeepCopyObject().(*corev1.ConfigMap)
		b.Data["left"] = left
		if _, err := c.Update(t.Context(), at(configMapsR, "budget"), b, registry.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	setLeft("1")
	if _, err := c.Create(t.Context(), sub(podsR, standing, "eviction"), stale, registry.WriteOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("another uid: %v", err)
	}
	if left := c.mustGet(t, configMapsR, "budget").(*corev1.ConfigMap).Data["left"]; left != "1" {
		t.Errorf("%s left, after an eviction that failed", left)
	}
	setLeft("0")
	left := c.mustGet(t, configMapsR, "budget").(*corev1.ConfigMap).Data["left"]
	if evicted.Load() != 3 || refused.Load() != pods-3 || left != "0" {
		t.Errorf("%d evicted, %d refused, %s left", evicted.Load(), refused.Load(), left)
	}
}

func TestActionsOfOtherPackages(t *testing.T) {
	c := newCluster(t, func(cfg *registry.Config) {
		cfg.Actions = map[string]registry.Action{"pods/binding": func(_ context.Context, u user.Info, tg registry.Target, obj *watch.Object, _ runtime.Object, _ registry.WriteOptions) (*registry.Result, error) {
			return &registry.Result{Answer: &metav1.Status{Message: u.GetName() + " asks " + tg.Name + " at " + strconv.FormatInt(obj.Revision, 10)}}, nil
		}}
	})
	made := c.mustCreate(t, podsR, pod("p")).(*corev1.Pod)
	res, err := c.Create(t.Context(), sub(podsR, "p", "binding"), binding("p", "n"), registry.WriteOptions{})
	if err != nil || res.Answer.(*metav1.Status).Message != "admin asks p at "+made.ResourceVersion {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestUnservedPaths(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("p"))
	_, err := c.Update(t.Context(), sub(podsR, "p", "nope"), pod("p"), registry.WriteOptions{})
	wantStatus(t, err, 404, metav1.StatusReasonNotFound, "the server could not find the requested resource")
	_, err = c.Update(t.Context(), sub(podsR, "p", "binding"), binding("p", "n"), registry.WriteOptions{})
	wantStatus(t, err, 405, metav1.StatusReasonMethodNotAllowed, "update is not supported on resources of kind \"pods/binding\"")
	_, err = c.Create(t.Context(), sub(podsR, "p", "status"), pod("p"), registry.WriteOptions{})
	wantStatus(t, err, 405, metav1.StatusReasonMethodNotAllowed, "create is not supported on resources of kind \"pods\"")
}
