package kernel_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// The control plane says of itself what upstream asks its processes about.
func TestComponentStatuses(t *testing.T) {
	t.Parallel()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	c := kerneltest.Start(t, kerneltest.Options{Table: table})
	api := kerneltest.Client(t, c.Admin()).CoreV1().ComponentStatuses()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		s, err := api.Get(t.Context(), "scheduler", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Conditions[0].Status == "True" && s.Conditions[0].Message == "ok" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the scheduler of a server that leads: %+v", s.Conditions)
		}
	}
	const path = "/api/v1/componentstatuses"
	for _, tt := range []struct {
		path, accept string
		code         int
		want         string
	}{
		{path, "application/json", 200, `{"kind":"ComponentStatusList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"controller-manager"},"conditions":[{"type":"Healthy","status":"True","message":"ok"}]},{"metadata":{"name":"etcd-0"}`},
		{path + "?fieldSelector=metadata.name=etcd-0", "application/json", 200, `"metadata":{},"items":[{"metadata":{"name":"etcd-0"},"conditions":[{"type":"Healthy","status":"True","message":"ok"}]}]}`},
		{path + "?labelSelector=a=b", "application/json", 200, `"items":[]}`},
		{path + "/nope", "application/json", 404, `componentstatus \"nope\" not found`},
		{path + "/etcd-0", "application/json;as=Table;g=meta.k8s.io;v=v1", 200, `"cells":["etcd-0","Healthy","ok",""]`},
		{path, "application/json;as=Table;g=meta.k8s.io;v=v1", 200, `"cells":["scheduler","Healthy","ok",""]`},
		{path + "?watch=1", "application/json", 405, "watch is not supported on resources of kind"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", tt.accept)
		resp, err := c.HTTP().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.code || !strings.Contains(string(body), tt.want) || !json.Valid(body) {
			t.Errorf("%s: %d %s, %v, want %s", tt.path, resp.StatusCode, body, err, tt.want)
		}
		if w := resp.Header.Get("Warning"); tt.code == 200 && !strings.Contains(w, "v1 ComponentStatus is deprecated in v1.19+") {
			t.Errorf("%s: warning %q", tt.path, w)
		}
	}
}

// ServiceCIDR kubernetes tells the ranges that the server was started with, is
// ready, and is made again when it is gone.
func TestDefaultServiceCIDR(t *testing.T) {
	t.Parallel()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	c := kerneltest.Start(t, kerneltest.Options{Table: table, Config: func(c *kernel.Config) { c.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")} }})
	api := kerneltest.Client(t, c.Admin()).NetworkingV1().ServiceCIDRs()
	await := func() *networkingv1.ServiceCIDR {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			s, err := api.Get(t.Context(), "kubernetes", metav1.GetOptions{})
			if err == nil && s.DeletionTimestamp == nil && meta.IsStatusConditionTrue(s.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
				return s
			}
			if time.Now().After(deadline) {
				t.Fatalf("not ready: %+v, %v", s, err)
			}
		}
	}
	first := await()
	if len(first.Spec.CIDRs) != 1 || first.Spec.CIDRs[0] != "10.96.0.0/16" || first.Status.Conditions[0].Message != "Kubernetes default Service CIDR is ready" {
		t.Errorf("got %+v", first)
	}
	if !slices.ContainsFunc(first.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == "kubernetes-service-cidr-controller" && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "status"
	}) {
		t.Errorf("the condition is managed by %+v", first.ManagedFields)
	}
	if err := api.Delete(t.Context(), "kubernetes", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := await(); again.UID == first.UID {
		t.Error("it was not deleted")
	}
}
