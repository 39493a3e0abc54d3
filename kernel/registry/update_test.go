package registry_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store"
)

func (c *cluster) update(t testing.TB, obj *corev1.ConfigMap, o registry.WriteOptions) (*corev1.ConfigMap, error) {
	t.Helper()
	res, err := c.Update(t.Context(), at(configMapsR, obj.Name), obj, o)
	if err != nil {
		return nil, err
	}
	return res.Object.Obj.(*corev1.ConfigMap), nil
}

func TestUpdateAnswersAsUpstream(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, configMapsR, configMap("a", nil)).(*corev1.ConfigMap)
	service := c.mustCreate(t, servicesR, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}}).(*corev1.Service)
	with := func(f func(*corev1.ConfigMap)) *corev1.ConfigMap { m := made.DeepCopy(); f(m); return m }
	key := "/registry/configmaps/default/a"
	for name, tc := range map[string]struct {
		target  registry.Target
		obj     runtime.Object
		code    int32
		reason  metav1.StatusReason
		message string
	}{
		"old resourceVersion": {at(configMapsR, "a"), with(func(m *corev1.ConfigMap) { m.ResourceVersion = "1" }), 409, metav1.StatusReasonConflict,
			`Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again`},
		"other uid": {at(configMapsR, "a"), with(func(m *corev1.ConfigMap) { m.UID = "u" }), 409, metav1.StatusReasonConflict,
			`Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key: ` + key +
				`, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID in object meta: ` + string(made.UID)},
		"missing": {at(configMapsR, "b"), configMap("b", nil), 404, metav1.StatusReasonNotFound, `configmaps "b" not found`},
		"other name": {at(configMapsR, "b"), configMap("a", nil), 400, metav1.StatusReasonBadRequest,
			"the name of the object (a) does not match the name on the URL (b)"},
		"other namespace": {at(configMapsR, "a"), with(func(m *corev1.ConfigMap) { m.Namespace = "x" }), 400, metav1.StatusReasonBadRequest,
			"the namespace of the provided object does not match the namespace sent on the request"},
		"no resourceVersion where it is needed": {at(servicesR, "s"), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, 422, metav1.StatusReasonInvalid,
			`services "s" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update`},
		"deletionTimestamp": {at(configMapsR, "a"), with(func(m *corev1.ConfigMap) { now := metav1.Now().Rfc3339Copy(); m.DeletionTimestamp = &now }), 422,
			metav1.StatusReasonInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Update(t.Context(), tc.target, tc.obj, registry.WriteOptions{})
			if tc.message == "" {
				if !apierrors.IsInvalid(err) {
					t.Errorf("got %v", err)
				}
				return
			}
			wantStatus(t, err, tc.code, tc.reason, tc.message)
		})
	}
	if got := c.mustGet(t, servicesR, "s").(*corev1.Service); got.ResourceVersion != service.ResourceVersion {
		t.Error("a refused update was written")
	}
}

func TestUpdateKeepsImmutables(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, podsR, pod("p")).(*corev1.Pod)
	in := made.DeepCopy()
	in.UID, in.CreationTimestamp, in.Generation = "", metav1.Time{}, 99
	in.Status.Phase = corev1.PodRunning
	in.Labels["more"] = "yes"
	res, err := c.Update(t.Context(), at(podsR, "p"), in, registry.WriteOptions{FieldManager: "second"})
	if err != nil {
		t.Fatal(err)
	}
	got := res.Object.Obj.(*corev1.Pod)
	if got.UID != made.UID || !got.CreationTimestamp.Equal(&made.CreationTimestamp) || got.Generation != 1 || got.Status.Phase != corev1.PodPending {
		t.Errorf("got %+v, phase %s", got.ObjectMeta, got.Status.Phase)
	}
	if got.ResourceVersion == made.ResourceVersion || got.Labels["more"] != "yes" {
		t.Error("the change was not written")
	}
	if got, want := managers(got), "second Update v1 ,test Update v1 "; got != want && got != "test Update v1 ,second Update v1 " {
		t.Errorf("managers %q, want %q", got, want)
	}
}

func TestUpdateWithoutEffectIsNotWritten(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, configMapsR, configMap("a", map[string]string{"k": "v"})).(*corev1.ConfigMap)
	before, _ := c.store.counts()
	for _, change := range []func(*corev1.ConfigMap){
		func(*corev1.ConfigMap) {},
		func(in *corev1.ConfigMap) { in.ResourceVersion = "" },
		func(in *corev1.ConfigMap) { in.SelfLink = "/x" }, // is never kept
	} {
		in := made.DeepCopy()
		change(in)
		got, err := c.update(t, in, registry.WriteOptions{FieldManager: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if got.ResourceVersion != made.ResourceVersion {
			t.Errorf("resourceVersion %s, was %s", got.ResourceVersion, made.ResourceVersion)
		}
		if got.SelfLink != "" {
			t.Errorf("selfLink %s, want none", got.SelfLink)
		}
	}
	if after, _ := c.store.counts(); after != before {
		t.Error("an update without effect was committed")
	}
}

func TestUpdateSeesOtherServersWrites(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, configMapsR, configMap("a", nil)).(*corev1.ConfigMap)
	foreign := func(rv int64, v string) {
		m := configMap("a", map[string]string{"from": v})
		m.Namespace, m.UID, m.CreationTimestamp = "default", made.UID, made.CreationTimestamp
		b, err := c.codec.EncodeStorage(configMapDefinition(), m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.store.Store.Commit(context.Background(), []store.Op{{Key: "/registry/configmaps/default/a", Value: b, Expect: rv}}); err != nil {
			t.Fatal(err)
		}
	}
	// Another server writes between this one's look and its commit.
	once := sync.Once{}
	c.store.intercept(func([]store.Op) { once.Do(func() { foreign(store.Any, "other") }) })
	in := made.DeepCopy()
	in.Data = map[string]string{"mine": "1"}
	_, err := c.update(t, in, registry.WriteOptions{})
	wantStatus(t, err, 409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again`)
	once = sync.Once{}
	res, err := c.Patch(t.Context(), at(configMapsR, "a"), types.MergePatchType, []byte(`{"data":{"mine":"2"}}`), registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Object.Obj.(*corev1.ConfigMap).Data; got["from"] != "other" || got["mine"] != "2" {
		t.Errorf("data %v: the patch must be made again on what the other server wrote", got)
	}
}

// MayCreate is asked where a write would create its object, with its name, and
// nowhere else; also when the object went after the write began.
func TestMayCreate(t *testing.T) {
	c := newCluster(t)
	var asked []string
	no := errors.New("no")
	o := registry.WriteOptions{FieldManager: "m", MayCreate: func(_ context.Context, t registry.Target) error {
		asked = append(asked, t.Resource.Resource+"/"+t.Name)
		return no
	}}
	widgets := widgetV1.WithResource("widgets")
	w := &Widget{ObjectMeta: metav1.ObjectMeta{Name: "w"}}
	update := func() error {
		_, err := c.Update(t.Context(), at(widgets, ""), w, o)
		return err
	}
	apply := func(value string) error {
		_, err := c.Patch(t.Context(), at(configMapsR, "a"), types.ApplyYAMLPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"`+value+`"}}`), o)
		return err
	}
	_, byUpdate := c.Update(t.Context(), at(configMapsR, "a"), configMap("a", nil), o)
	if !apierrors.IsNotFound(byUpdate) || !errors.Is(update(), no) || !errors.Is(apply("1"), no) {
		t.Errorf("update of a ConfigMap: %v", byUpdate)
	}
	if want := []string{"widgets/w", "configmaps/a"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	w = c.mustCreate(t, widgets, w).DeepCopyObject().(*Widget)
	c.mustCreate(t, configMapsR, configMap("a", nil))
	asked = nil
	if err := errors.Join(update(), apply("1")); err != nil || asked != nil {
		t.Errorf("%v; asked %q", err, asked)
	}
	c.store.intercept(func([]store.Op) {
		c.store.intercept(nil)
		if _, err := c.Delete(t.Context(), at(configMapsR, "a"), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	if err := apply("2"); !errors.Is(err, no) || len(asked) != 1 {
		t.Errorf("it went meanwhile: %v; asked %q", err, asked)
	}
}

func TestCreateOnUpdate(t *testing.T) {
	c := newCluster(t)
	target := registry.Target{Resource: widgetV1.WithResource("widgets"), Namespace: "default", Name: "w"}
	w := &Widget{ObjectMeta: metav1.ObjectMeta{Name: "w"}, Size: 3}
	// Who did not say who may create lets nobody.
	if _, err := c.Update(t.Context(), target, w, registry.WriteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("nobody was asked: %v", err)
	}
	res, err := c.Update(t.Context(), target, w, registry.WriteOptions{MayCreate: anybody})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Object.Obj.(*Widget); !res.Created || got.UID == "" || got.Size != 3 {
		t.Errorf("created %v, got %+v", res.Created, got)
	}
	// The same through the other version.
	target.Resource = widgetBeta.WithResource("widgets")
	res, err = c.Update(t.Context(), target, &WidgetBeta{ObjectMeta: metav1.ObjectMeta{Name: "w", ResourceVersion: strconv.FormatInt(res.Object.Revision, 10)}, Width: 4}, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Object.Obj.(*Widget); res.Created || got.Size != 4 {
		t.Errorf("created %v, got %+v", res.Created, got)
	}
	res, err = c.Patch(t.Context(), target, types.MergePatchType, []byte(`{"width":5}`), registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Object.Obj.(*Widget); got.Size != 5 {
		t.Errorf("got %+v", got)
	}
	w.UID = "given"
	target.Name, w.Name = "v", "v"
	if _, err := c.Update(t.Context(), target, w, registry.WriteOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("create on update with a uid: %v", err)
	}
}

// Many writers count up one object, by optimistic locking and by patches; not
// one of their additions may be lost.
func TestConcurrentCounters(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, configMapsR, configMap("n", map[string]string{"cas": "0"}))
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				c.increment(t)
				patch := []byte(`[{"op":"add","path":"/data/p-` + strconv.Itoa(w) + `-` + strconv.Itoa(i) + `","value":"x"}]`)
				if _, err := c.Patch(t.Context(), at(configMapsR, "n"), types.JSONPatchType, patch, registry.WriteOptions{}); err != nil {
					t.Errorf("patch: %v", err)
				}
			}
		})
	}
	wg.Wait()
	got := c.mustGet(t, configMapsR, "n").(*corev1.ConfigMap).Data
	if want := strconv.Itoa(writers * each); got["cas"] != want || len(got) != 1+writers*each {
		t.Errorf("counter %s, want %s; %d keys, want %d", got["cas"], want, len(got), 1+writers*each)
	}
}

func (c *cluster) increment(t *testing.T) {
	for {
		m := c.mustGet(t, configMapsR, "n").(*corev1.ConfigMap).DeepCopy()
		n, _ := strconv.Atoi(m.Data["cas"])
		m.Data["cas"] = strconv.Itoa(n + 1)
		_, err := c.update(t, m, registry.WriteOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			t.Errorf("update: %v", err)
			return
		}
	}
}

func TestUpdateDryRun(t *testing.T) {
	c := newCluster(t)
	made := c.mustCreate(t, configMapsR, configMap("a", nil)).(*corev1.ConfigMap)
	in := made.DeepCopy()
	in.Data = map[string]string{"k": "v"}
	got, err := c.update(t, in, registry.WriteOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.Data["k"] != "v" || got.ResourceVersion != made.ResourceVersion {
		t.Errorf("got %+v", got)
	}
	if now := c.mustGet(t, configMapsR, "a").(*corev1.ConfigMap); now.Data != nil || now.ResourceVersion != made.ResourceVersion {
		t.Errorf("stored %+v", now)
	}
}
