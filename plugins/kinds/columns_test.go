package kinds_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestColumns(t *testing.T) {
	tab := kindtest.Table(t)
	pod := kindtest.StoredPod(t, kindtest.OnNode, func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", Ready: true, RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	})
	svc := kindtest.NewService("web", kindtest.WithIP("10.96.0.9"))
	svc.Spec.ClusterIPs = []string{"10.96.0.9"}
	tab.Scheme.Default(svc)
	dep := kindtest.Deployment(func(d *appsv1.Deployment) { d.Status.ReadyReplicas = 1 })
	tab.Scheme.Default(dep)
	for _, tc := range []struct {
		list    runtime.Object
		columns string
		cells   []any
	}{
		{&corev1.PodList{Items: []corev1.Pod{*pod}}, "Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates", []any{"p", "1/1", "Running", "2"}},
		{pod, "Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates", []any{"p", "1/1", "Running", "2"}},
		{&appsv1.DeploymentList{Items: []appsv1.Deployment{*dep}}, "Name Ready Up-to-date Available Age Containers Images Selector", []any{"d", "1/1", int64(0), int64(0)}},
		{&corev1.ServiceList{Items: []corev1.Service{*svc}}, "Name Type Cluster-IP External-IP Port(s) Age Selector", []any{"web", "ClusterIP", "10.96.0.9", "<none>", "80/TCP"}},
		{&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}, "Name Desired Available Age", []any{"d", int64(3), int64(0)}},
	} {
		got, err := tab.Columns(tc.list, metav1.TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range got.ColumnDefinitions {
			names = append(names, c.Name)
		}
		if s := strings.Join(names, " "); s != tc.columns {
			t.Errorf("columns %q, want %q", s, tc.columns)
		}
		if len(got.Rows) != 1 || !cmp.Equal(tc.cells, got.Rows[0].Cells[:len(tc.cells)]) {
			t.Errorf("%T: rows %+v, want %v", tc.list, got.Rows, tc.cells)
		}
		if _, ok := got.Rows[0].Object.Object.(*metav1.PartialObjectMetadata); !ok || got.Kind != "Table" {
			t.Errorf("a row of %s holds %T", got.Kind, got.Rows[0].Object.Object)
		}
	}
	whole, err := tab.Columns(pod, metav1.TableOptions{IncludeObject: metav1.IncludeObject, NoHeaders: true})
	if err != nil || whole.Rows[0].Object.Object != runtime.Object(pod) || len(whole.ColumnDefinitions) > 0 {
		t.Errorf("includeObject=Object without headers: %+v, %v", whole, err)
	}
}

func TestEveryKindPrints(t *testing.T) {
	tab := kindtest.Table(t)
	for _, d := range stored(t) {
		list, err := tab.Scheme.New(schema.GroupVersionKind{Group: d.Hub().Group, Version: d.StorageVersion, Kind: d.ListKind})
		if err != nil {
			if len(d.Versions) == 0 {
				continue // never listed
			}
			t.Errorf("%s: %v", d.GroupResource(), err)
			continue
		}
		got, err := tab.Columns(list, metav1.TableOptions{})
		if err != nil || len(got.ColumnDefinitions) == 0 || got.ColumnDefinitions[0].Name != "Name" && d.Kind != "Event" {
			t.Errorf("%s: %+v, %v", d.GroupResource(), got, err)
		}
	}
}
