package apiserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	kwatch "k8s.io/apimachinery/pkg/watch"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: data}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

// TestVerbs walks one object through all verbs, in each media type.
func TestVerbs(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		t.Run(media, func(t *testing.T) {
			ctx := t.Context()
			cfg := c.Admin()
			cfg.ContentType, cfg.AcceptContentTypes = media, media
			cms := kerneltest.Client(t, cfg).CoreV1().ConfigMaps("default")
			made, err := cms.Create(ctx, configMap("a", map[string]string{"k": "1"}), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if made.UID == "" || made.ResourceVersion == "" {
				t.Errorf("created without uid or revision: %+v", made.ObjectMeta)
			}
			if got := made.ManagedFields; len(got) != 1 || got[0].Manager != "apiserver.test" {
				t.Errorf("managed fields: got %+v, want one of the test's binary", got)
			}
			made.Data["k"] = "2"
			if _, err = cms.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err = cms.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Errorf("update of an old revision: got %v, want a conflict", err)
			}
			patched, err := cms.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"k":"3"}}`), metav1.PatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := cms.Get(ctx, "a", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(patched, got); diff != "" {
				t.Errorf("get after patch (-patched +got):\n%s", diff)
			}
			if _, err = cms.Create(ctx, configMap("b", nil), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			list, err := cms.List(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, x := range list.Items {
				names = append(names, x.Name)
			}
			if diff := cmp.Diff([]string{"a", "b"}, names); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(*got, list.Items[0]); diff != "" {
				t.Errorf("item of the list differs from get (-get +list):\n%s", diff)
			}
			if err := cms.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := cms.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
			if list, err = cms.List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
				t.Errorf("after deletecollection: %d items, %v", len(list.Items), err)
			}
		})
	}
}

func TestPagesOfAList(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	cms := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")
	for i := range 5 {
		if _, err := cms.Create(t.Context(), configMap(fmt.Sprint("cm", i), nil), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var sizes []int
	o := metav1.ListOptions{Limit: 2}
	for {
		l, err := cms.List(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(l.Items))
		if o.Continue = l.Continue; o.Continue == "" {
			break
		}
	}
	if diff := cmp.Diff([]int{2, 2, 1}, sizes); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestApplyAndDryRun(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	cms := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")
	ac := applycorev1.ConfigMap("applied", "default").WithData(map[string]string{"k": "v"})
	if _, err := cms.Apply(t.Context(), ac, metav1.ApplyOptions{FieldManager: "me", DryRun: []string{"All"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Get(t.Context(), "applied", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry run: got %v, want not found", err)
	}
	if _, err := cms.Apply(t.Context(), ac, metav1.ApplyOptions{FieldManager: "me"}); err != nil {
		t.Fatal(err)
	}
	other := applycorev1.ConfigMap("applied", "default").WithData(map[string]string{"k": "other"})
	if _, err := cms.Apply(t.Context(), other, metav1.ApplyOptions{FieldManager: "other"}); !apierrors.IsConflict(err) {
		t.Errorf("apply over another manager: got %v, want a conflict", err)
	}
	got, err := cms.Apply(t.Context(), other, metav1.ApplyOptions{FieldManager: "other", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.Data["k"] != "other" {
		t.Errorf("forced apply: data is %v", got.Data)
	}
}

func TestSubresources(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	cs := kerneltest.Client(t, c.Admin())
	one := int32(1)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"}, Spec: appsv1.DeploymentSpec{Replicas: &one}}
	if _, err := cs.AppsV1().Deployments("default").Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sc, err := cs.AppsV1().Deployments("default").GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sc.Spec.Replicas = 7
	if sc, err = cs.AppsV1().Deployments("default").UpdateScale(t.Context(), "web", sc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if sc.Spec.Replicas != 7 {
		t.Errorf("scale answers %d replicas, want 7", sc.Spec.Replicas)
	}
	p, err := cs.CoreV1().Pods("default").Create(t.Context(), pod("p"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.Phase = corev1.PodRunning
	if p, err = cs.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if p.Status.Phase != corev1.PodRunning {
		t.Errorf("phase %q after status update", p.Status.Phase)
	}
	got, err := cs.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
	if err != nil || len(got.Items) != 1 {
		t.Errorf("list by field: %d items, %v; want 1", len(got.Items), err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		t.Run(media, func(t *testing.T) {
			ctx := t.Context()
			cfg := c.Admin()
			cfg.ContentType, cfg.AcceptContentTypes = media, media
			cms := kerneltest.Client(t, cfg).CoreV1().ConfigMaps("default")
			if _, err := cms.Create(ctx, configMap("first", nil), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			yes := true
			w, err := cms.Watch(ctx, metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			expect(t, w, kwatch.Added, "first")
			if e := next(t, w); e.Type != kwatch.Bookmark || e.Object.(*corev1.ConfigMap).Annotations[metav1.InitialEventsAnnotationKey] != "true" {
				t.Errorf("got %v %+v, want the bookmark that ends the initial events", e.Type, e.Object)
			}
			if _, err := cms.Patch(ctx, "first", types.MergePatchType, []byte(`{"data":{"a":"b"}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			expect(t, w, kwatch.Modified, "first")
			if err := cms.Delete(ctx, "first", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			expect(t, w, kwatch.Deleted, "first")
		})
	}
}

func next(t *testing.T, w kwatch.Interface) kwatch.Event {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("watch closed")
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within ten seconds")
	}
	panic("unreachable")
}

func expect(t *testing.T, w kwatch.Interface, typ kwatch.EventType, name string) {
	t.Helper()
	e := next(t, w)
	m, ok := e.Object.(metav1.Object)
	if !ok || e.Type != typ || m.GetName() != name {
		t.Fatalf("got %v %+v, want %v of %s", e.Type, e.Object, typ, name)
	}
}

func TestWatchTimeoutAndShutdown(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	cms := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")
	second := int64(1)
	start := time.Now()
	w, err := cms.Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: &second})
	if err != nil {
		t.Fatal(err)
	}
	for range w.ResultChan() {
	}
	if took := time.Since(start); took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("watch with timeoutSeconds=1 lasted %s", took)
	}
	if w, err = cms.Watch(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Server.Drain()
	if resp := get(t, c, "/readyz", nil); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("/readyz while draining: %d, want 500", resp.StatusCode)
	}
	if resp := get(t, c, "/livez", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("/livez while draining: %d, want 200", resp.StatusCode)
	}
	c.Server.Stop()
	select {
	case <-w.ResultChan():
	case <-time.After(10 * time.Second):
		t.Error("watch goes on after Stop")
	}
}

func TestInformersAndOtherClients(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	cs := kerneltest.Client(t, c.Admin())
	if _, err := cs.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("seen", map[string]string{"k": "v"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f := informers.NewSharedInformerFactory(cs, 0)
	inf := f.Core().V1().ConfigMaps()
	synced := inf.Informer().HasSynced
	f.Start(t.Context().Done())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		t.Fatal("informer did not sync")
	}
	if _, err := inf.Lister().ConfigMaps("default").Get("seen"); err != nil {
		t.Error(err)
	}
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	dyn, err := dynamic.NewForConfig(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	u, err := dyn.Resource(gvr).Namespace("default").Get(t.Context(), "seen", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v, _, _ := unstructured.NestedString(u.Object, "data", "k"); v != "v" || u.GetKind() != "ConfigMap" {
		t.Errorf("dynamic get: %v", u.Object)
	}
	ul, err := dyn.Resource(gvr).Namespace("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(ul.Items) != 1 || ul.Items[0].GetKind() != "ConfigMap" {
		t.Errorf("dynamic list: %v, %v", ul, err)
	}
	md, err := metadata.NewForConfig(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	pl, err := md.Resource(gvr).Namespace("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pl.Items) != 1 || pl.Items[0].Name != "seen" {
		t.Errorf("metadata list: %+v, %v", pl, err)
	}
}

func get(t *testing.T, c *kerneltest.Server, path string, header map[string]string) *http.Response {
	t.Helper()
	return do(t, c, http.MethodGet, path, "", header)
}

func do(t *testing.T, c *kerneltest.Server, method, path, body string, header map[string]string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp.Body = io.NopCloser(strings.NewReader(string(data)))
	return resp
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWarningsReachTheClient(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	rec := &recorder{}
	cfg := c.Admin()
	cfg.WarningHandler = rec
	p := pod("w")
	p.Annotations = map[string]string{"warn": "please"}
	if _, err := kerneltest.Client(t, cfg).CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"this pod asked for a warning"}, rec.texts); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

type recorder struct{ texts []string }

func (r *recorder) HandleWarningHeader(code int, agent, text string) { r.texts = append(r.texts, text) }

var _ rest.WarningHandler = (*recorder)(nil)
