package lighttest

import (
	"encoding/json"
	"math/rand"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	genericfuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	lapps "github.com/pintle-io/pintle/sdk/api/apps/v1"
	lautoscaling1 "github.com/pintle-io/pintle/sdk/api/autoscaling/v1"
	lautoscaling2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
	lbatch "github.com/pintle-io/pintle/sdk/api/batch/v1"
	lcoordination "github.com/pintle-io/pintle/sdk/api/coordination/v1"
	lcore "github.com/pintle-io/pintle/sdk/api/core/v1"
	ldiscovery "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	lnetworking "github.com/pintle-io/pintle/sdk/api/networking/v1"
	lpolicy "github.com/pintle-io/pintle/sdk/api/policy/v1"
	lrbac "github.com/pintle-io/pintle/sdk/api/rbac/v1"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

var pairs = []struct{ upstream, light any }{
	{&corev1.Pod{}, &lcore.Pod{}}, {&corev1.Node{}, &lcore.Node{}}, {&corev1.Service{}, &lcore.Service{}},
	{&corev1.Namespace{}, &lcore.Namespace{}}, {&corev1.ConfigMap{}, &lcore.ConfigMap{}}, {&corev1.Secret{}, &lcore.Secret{}},
	{&corev1.ServiceAccount{}, &lcore.ServiceAccount{}}, {&corev1.Endpoints{}, &lcore.Endpoints{}}, {&corev1.Event{}, &lcore.Event{}},
	{&corev1.PersistentVolume{}, &lcore.PersistentVolume{}}, {&corev1.PersistentVolumeClaim{}, &lcore.PersistentVolumeClaim{}},
	{&corev1.LimitRange{}, &lcore.LimitRange{}}, {&corev1.ResourceQuota{}, &lcore.ResourceQuota{}}, {&corev1.ReplicationController{}, &lcore.ReplicationController{}},
	{&appsv1.Deployment{}, &lapps.Deployment{}}, {&appsv1.ReplicaSet{}, &lapps.ReplicaSet{}}, {&appsv1.DaemonSet{}, &lapps.DaemonSet{}},
	{&appsv1.StatefulSet{}, &lapps.StatefulSet{}}, {&appsv1.ControllerRevision{}, &lapps.ControllerRevision{}},
	{&batchv1.Job{}, &lbatch.Job{}}, {&batchv1.CronJob{}, &lbatch.CronJob{}},
	{&discoveryv1.EndpointSlice{}, &ldiscovery.EndpointSlice{}}, {&coordinationv1.Lease{}, &lcoordination.Lease{}},
	{&networkingv1.Ingress{}, &lnetworking.Ingress{}}, {&networkingv1.NetworkPolicy{}, &lnetworking.NetworkPolicy{}},
	{&rbacv1.ClusterRole{}, &lrbac.ClusterRole{}}, {&rbacv1.RoleBinding{}, &lrbac.RoleBinding{}},
	{&policyv1.PodDisruptionBudget{}, &lpolicy.PodDisruptionBudget{}},
	{&autoscalingv1.Scale{}, &lautoscaling1.Scale{}}, {&autoscalingv2.HorizontalPodAutoscaler{}, &lautoscaling2.HorizontalPodAutoscaler{}},
}

// plain decodes JSON and drops what a light type leaves out or writes
// otherwise: null and empty values.
func plain(t *testing.T, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return prune(v)
}

func prune(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, y := range x {
			y = prune(y)
			if m, ok := y.(map[string]any); y == nil || ok && len(m) == 0 || k == "managedFields" {
				delete(x, k)
				continue
			}
			x[k] = y
		}
	case []any:
		for i := range x {
			x[i] = prune(x[i])
		}
	}
	return v
}

// TestRoundTrip fills upstream's types at random and sends them through the
// light types.
func TestRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	fill := fuzzer.FuzzerFor(genericfuzzer.Funcs, rand.NewSource(1), serializer.NewCodecFactory(scheme))
	for _, p := range pairs {
		name := reflect.TypeOf(p.upstream).Elem().String()
		t.Run(name, func(t *testing.T) {
			for range 20 {
				obj := reflect.New(reflect.TypeOf(p.upstream).Elem()).Interface()
				fill.Fill(obj)
				obj.(metav1.Object).SetManagedFields(nil)
				b, err := json.Marshal(obj)
				if err != nil {
					t.Fatal(err)
				}
				light := reflect.New(reflect.TypeOf(p.light).Elem()).Interface()
				if err := json.Unmarshal(b, light); err != nil {
					t.Fatalf("decode light: %v", err)
				}
				got, err := json.Marshal(light)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(plain(t, b), plain(t, got)); d != "" {
					t.Fatalf("light type loses (-upstream +light):\n%s", d)
				}
				checkRecord(t, obj, b)
			}
		})
	}
}

// checkRecord wants the record of an object to say what its JSON says.
func checkRecord(t *testing.T, obj any, want []byte) {
	b, err := record.NewEncoder(nil).Plan(nil).Append(nil, obj)
	if err != nil {
		t.Fatalf("record: %v", err)
	}
	v, err := record.Parse(b, nil)
	if err != nil {
		t.Fatalf("record: %v", err)
	}
	got, err := v.AppendJSON(nil)
	if err != nil {
		t.Fatalf("record: %v", err)
	}
	if d := cmp.Diff(plain(t, want), plain(t, got)); d != "" {
		t.Fatalf("record differs (-json +record):\n%s", d)
	}
}
