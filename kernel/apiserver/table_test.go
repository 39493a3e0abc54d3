package apiserver_test

import (
	"encoding/json"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// What a subresource shows in a table is its own kind, not its parent's.
func TestTableOfASubresource(t *testing.T) {
	t.Parallel()
	tab, err := kerneltest.Table()
	if err != nil {
		t.Fatal(err)
	}
	tab.Columns = func(obj runtime.Object, _ metav1.TableOptions) (*metav1.Table, error) {
		sc, ok := obj.(*autoscalingv1.Scale)
		if !ok {
			return nil, fmt.Errorf("asked to print a %T", obj)
		}
		return &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{{Name: "Desired"}}, Rows: []metav1.TableRow{{Cells: []any{sc.Spec.Replicas}}}}, nil
	}
	c := kerneltest.Start(t, kerneltest.Options{Table: tab})
	replicas := int32(3)
	labels := map[string]string{"app": "web"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}}}
	if _, err := kerneltest.Client(t, c.Admin()).AppsV1().Deployments("default").Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	for include, kind := range map[string]string{"Object": "autoscaling/v1, Kind=Scale", "Metadata": "meta.k8s.io/v1, Kind=PartialObjectMetadata"} {
		resp := get(t, c, "/apis/apps/v1/namespaces/default/deployments/web/scale?includeObject="+include, map[string]string{"Accept": accept})
		body := text(t, resp)
		var got metav1.Table
		if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Rows) != 1 {
			t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
		}
		if got.ResourceVersion == "" || got.ColumnDefinitions[0].Name != "Desired" || fmt.Sprint(got.Rows[0].Cells) != "[3]" {
			t.Errorf("table: %s", body)
		}
		var row metav1.PartialObjectMetadata
		if err := json.Unmarshal(got.Rows[0].Object.Raw, &row); err != nil || row.GroupVersionKind().String() != kind || row.Name != "web" {
			t.Errorf("includeObject=%s: the row holds %s, want a %s: %v", include, got.Rows[0].Object.Raw, kind, err)
		}
	}
}

// A printer that has nothing to say about a kind leaves it to the columns that
// every object has.
func TestTableWithoutAPrinter(t *testing.T) {
	t.Parallel()
	tab, err := kerneltest.Table()
	if err != nil {
		t.Fatal(err)
	}
	tab.Columns = func(runtime.Object, metav1.TableOptions) (*metav1.Table, error) { return nil, nil }
	c := kerneltest.Start(t, kerneltest.Options{Table: tab})
	for _, path := range []string{"/api/v1/namespaces/default", "/api/v1/namespaces"} {
		resp := get(t, c, path, map[string]string{"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
		body := text(t, resp)
		var got metav1.Table
		if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Rows) == 0 || len(got.ColumnDefinitions) != 2 || got.Rows[0].Cells[0] != "default" {
			t.Errorf("%s: %d %s: %v", path, resp.StatusCode, body, err)
		}
	}
}
