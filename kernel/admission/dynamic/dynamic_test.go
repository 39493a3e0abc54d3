package dynamic_test

import (
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	upstream "k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/resource"
)

func newKinds(t *testing.T) *dynamic.Kinds {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	first := schema.GroupResource{Resource: "events"}
	table := &resource.Table{Scheme: scheme, Definitions: []*resource.Definition{
		{Resource: "pods", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/pods",
			Subresources: []resource.Subresource{{Name: "status"}, {Name: "binding", Style: resource.StyleAction, Kind: corev1.SchemeGroupVersion.WithKind("Binding")}}},
		{Resource: "events", Kind: "Event", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/events"},
		{Group: "events.k8s.io", Resource: "events", Kind: "Event", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/events", StoredAs: &first},
		{Group: "autoscaling", Resource: "horizontalpodautoscalers", Kind: "HorizontalPodAutoscaler", Versions: []string{"v2", "v1"}, StorageVersion: "v2", KeyPrefix: "/registry/hpa"},
		{Group: "apps", Resource: "deployments", Kind: "Deployment", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/deployments",
			Subresources: []resource.Subresource{{Name: "scale", Style: resource.StyleProjection, Kind: autoscalingv1.SchemeGroupVersion.WithKind("Scale")}}},
	}}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	catalog := resource.NewCatalog(table)
	return &dynamic.Kinds{Catalog: catalog, Codec: resource.NewCodec(catalog)}
}

func gvr(group, version, res string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: res}
}

func TestEquivalents(t *testing.T) {
	k := newKinds(t)
	for _, tc := range []struct {
		of   schema.GroupVersionResource
		sub  string
		want []schema.GroupVersionResource
	}{
		{gvr("", "v1", "pods"), "", []schema.GroupVersionResource{gvr("", "v1", "pods")}},
		{gvr("autoscaling", "v1", "horizontalpodautoscalers"), "", []schema.GroupVersionResource{gvr("autoscaling", "v2", "horizontalpodautoscalers"), gvr("autoscaling", "v1", "horizontalpodautoscalers")}},
		{gvr("", "v1", "events"), "", []schema.GroupVersionResource{gvr("", "v1", "events"), gvr("events.k8s.io", "v1", "events")}},
		{gvr("events.k8s.io", "v1", "events"), "", []schema.GroupVersionResource{gvr("events.k8s.io", "v1", "events"), gvr("", "v1", "events")}},
		{gvr("apps", "v1", "deployments"), "scale", []schema.GroupVersionResource{gvr("apps", "v1", "deployments")}},
		{gvr("nowhere", "v1", "things"), "", []schema.GroupVersionResource{gvr("nowhere", "v1", "things")}},
	} {
		if diff := cmp.Diff(tc.want, k.EquivalentResourcesFor(tc.of, tc.sub)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tc.of, tc.sub, diff)
		}
	}
	for _, tc := range []struct {
		of   schema.GroupVersionResource
		sub  string
		want string
	}{
		{gvr("autoscaling", "v1", "horizontalpodautoscalers"), "", "autoscaling/v1, Kind=HorizontalPodAutoscaler"},
		{gvr("apps", "v1", "deployments"), "scale", "autoscaling/v1, Kind=Scale"},
		{gvr("", "v1", "pods"), "status", "/v1, Kind=Pod"},
		{gvr("", "v1", "pods"), "nothing", "/, Kind="},
		{gvr("apps", "v2", "deployments"), "", "/, Kind="},
	} {
		if got := k.KindFor(tc.of, tc.sub).String(); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.of, tc.sub, got, tc.want)
		}
	}
}

// A request keeps its objects; what upstream's code converts or changes is a copy.
func TestRequest(t *testing.T) {
	k := newKinds(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a": "b"}}}
	a := &admission.Attributes{Operation: admission.Delete, Resource: gvr("", "v1", "pods"), Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Namespace: "n", Name: "p",
		Old: pod, Options: &metav1.DeleteOptions{}}
	ctx := audit.WithAuditContext(t.Context())
	event := audit.AuditContextFrom(ctx)
	if err := event.Init(audit.RequestAuditConfig{Level: auditinternal.LevelMetadata}, nil); err != nil {
		t.Fatal(err)
	}
	req, err := k.Request(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	if pod.Kind != "" || req.GetOldObject().GetObjectKind().GroupVersionKind().Kind != "Pod" || req.GetObject() != nil {
		t.Errorf("object %v, old %v", req.GetObject(), req.GetOldObject().GetObjectKind())
	}
	if o := req.GetOperationOptions().(*metav1.DeleteOptions); o.Kind != "DeleteOptions" || o.APIVersion != "meta.k8s.io/v1" {
		t.Errorf("options %+v", o.TypeMeta)
	}
	if err := errors.Join(req.AddAnnotation("example.com/x", "y"), req.AddAnnotationWithLevel("example.com/deep", "y", auditinternal.LevelRequest)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]string{"example.com/x": "y"}, event.GetEventAnnotations()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if err := req.AddAnnotation("no slash", "y"); err == nil {
		t.Error("a malformed annotation")
	}
	if req.GetReinvocationContext() != upstream.ReinvocationContext(a.Reinvocation()) {
		t.Error("what rules remember is not the request's")
	}
	out := &corev1.Pod{}
	out.SetGroupVersionKind(a.Kind)
	if err := k.Convert(pod, out, nil); err != nil {
		t.Fatal(err)
	}
	if out.Labels["a"] = "changed"; pod.Labels["a"] != "b" {
		t.Error("a conversion shares memory")
	}
	ns := &admission.Attributes{Operation: admission.Create, Resource: gvr("", "v1", "namespaces"), Kind: corev1.SchemeGroupVersion.WithKind("Namespace"), Name: "n",
		Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}}
	if req, err = k.Request(t.Context(), ns); err != nil || req.GetNamespace() != "n" {
		t.Errorf("the namespace of a namespace: %v, %v", req, err)
	}
	if err := k.Convert(&appsv1.Deployment{}, out, nil); err == nil {
		t.Error("a deployment was converted to a pod")
	}
}

func TestExempt(t *testing.T) {
	for r, want := range map[schema.GroupVersionResource]bool{
		gvr(dynamic.Group, "v1", "validatingadmissionpolicies"):   true,
		gvr(dynamic.Group, "v1", "mutatingwebhookconfigurations"): true,
		gvr("authorization.k8s.io", "v1", "subjectaccessreviews"): true,
		gvr("authentication.k8s.io", "v1", "tokenreviews"):        true,
		gvr("", "v1", "pods"): false,
		gvr("example.com", "v1", "validatingadmissionpolicies"):        false,
		gvr("certificates.k8s.io", "v1", "certificatesigningrequests"): false,
	} {
		if got := dynamic.Exempt(t.Context(), &admission.Attributes{Resource: r}); got != want {
			t.Errorf("%s: exempt %t", r, got)
		}
	}
	if !dynamic.Exempt(admission.WithOwnObjects(t.Context()), &admission.Attributes{Resource: gvr("", "v1", "pods")}) {
		t.Error("the server's own objects are not exempt")
	}
}

func TestResources(t *testing.T) {
	r := dynamic.Resources{}.Add("pods", "deployments/scale")
	if !r.Has("pods") || !r.Has("deployments") || r.Has("nodes") {
		t.Errorf("%v", r)
	}
	for _, all := range []string{"*", "*/*", "*/scale"} {
		if r := (dynamic.Resources{}).Add("pods", all); !r.Has("nodes") {
			t.Errorf("%s is not everything", all)
		}
	}
}
