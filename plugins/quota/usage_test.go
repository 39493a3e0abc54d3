package quota_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/plugins/quota"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func object(t *testing.T, text string) *quota.Object {
	t.Helper()
	o := &quota.Object{}
	if err := json.Unmarshal([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	return o
}

type list = corev1.ResourceList

// TestUsage: the sums are those of upstream's evaluators
// (k8s.io/kubernetes/pkg/quota/v1/evaluator/core).
func TestUsage(t *testing.T) {
	ended := list{"count/pods": "1"}
	bare := list{"count/pods": "1", "pods": "1"}
	for _, tc := range []struct {
		name, resource, object string
		want                   list
	}{
		{"any object", "widgets.example.com", `{}`, list{"count/widgets.example.com": "1"}},
		{"one with an older name", "secrets", `{}`, list{"count/secrets": "1", "secrets": "1"}},
		{"a pod that asks for nothing", "pods", `{"spec":{"containers":[{"name":"c"}]}}`, bare},
		{"requests and limits", "pods", `{"spec":{"containers":[
			{"name":"a","resources":{"requests":{"cpu":"100m","memory":"1Gi","ephemeral-storage":"1Gi"},"limits":{"cpu":"1","memory":"2Gi"}}},
			{"name":"b","resources":{"requests":{"cpu":"200m"},"limits":{"ephemeral-storage":"3Gi"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "cpu": "300m", "requests.cpu": "300m", "limits.cpu": "1", "memory": "1Gi", "requests.memory": "1Gi", "limits.memory": "2Gi",
				"ephemeral-storage": "1Gi", "requests.ephemeral-storage": "1Gi", "limits.ephemeral-storage": "3Gi"}},
		{"extended resources and huge pages", "pods", `{"spec":{"containers":[{"name":"a","resources":{"requests":{"example.com/gpu":"2","hugepages-2Mi":"4Mi","foo.kubernetes.io/bar":"1"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "requests.example.com/gpu": "2", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi"}},
		{"an init container that asks for more", "pods", `{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"100m"}}}],"initContainers":[{"name":"i","resources":{"requests":{"cpu":"1"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1"}},
		{"a sidecar before it", "pods", `{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"100m"}}}],"initContainers":[
			{"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"200m"}}},{"name":"i","resources":{"requests":{"cpu":"1"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "cpu": "1200m", "requests.cpu": "1200m"}},
		{"overhead counts for limits that are there", "pods", `{"spec":{"overhead":{"cpu":"50m","memory":"10Mi"},"containers":[{"name":"a","resources":{"requests":{"cpu":"100m"},"limits":{"cpu":"1"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "cpu": "150m", "requests.cpu": "150m", "limits.cpu": "1050m", "memory": "10Mi", "requests.memory": "10Mi"}},
		{"the pod as a whole", "pods", `{"spec":{"resources":{"requests":{"cpu":"2"},"limits":{"cpu":"3"}},"containers":[{"name":"a","resources":{"requests":{"cpu":"100m","memory":"1Mi"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "cpu": "2", "requests.cpu": "2", "limits.cpu": "3", "memory": "1Mi", "requests.memory": "1Mi"}},
		{"a resize down that is under way", "pods", `{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}]},"status":{"containerStatuses":[{"name":"a","allocatedResources":{"cpu":"1"},"resources":{"requests":{"cpu":"2"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "cpu": "2", "requests.cpu": "2"}},
		{"a resize up that cannot be", "pods", `{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"9"}}}]},"status":{"conditions":[{"type":"PodResizePending","reason":"Infeasible"}],
			"containerStatuses":[{"name":"a","allocatedResources":{"cpu":"1"},"resources":{"requests":{"cpu":"1"}}}]}}`,
			list{"count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1"}},
		{"one that has ended", "pods", `{"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}]},"status":{"phase":"Failed"}}`, ended},
		{"one that should have", "pods", `{"metadata":{"deletionTimestamp":"2026-01-02T03:04:00Z","deletionGracePeriodSeconds":4}}`, ended},
		{"one that is ending", "pods", `{"metadata":{"deletionTimestamp":"2026-01-02T03:04:00Z","deletionGracePeriodSeconds":30}}`, bare},
		{"a Service", "services", `{"spec":{"type":"ClusterIP","ports":[{}]}}`, list{"count/services": "1", "services": "1", "services.nodeports": "0", "services.loadbalancers": "0"}},
		{"of ports of nodes", "services", `{"spec":{"type":"NodePort","ports":[{},{}]}}`, list{"count/services": "1", "services": "1", "services.nodeports": "2", "services.loadbalancers": "0"}},
		{"of a load balancer", "services", `{"spec":{"type":"LoadBalancer","ports":[{},{}]}}`, list{"count/services": "1", "services": "1", "services.nodeports": "2", "services.loadbalancers": "1"}},
		{"that wants no ports of nodes but one", "services", `{"spec":{"type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"ports":[{},{"nodePort":30001}]}}`,
			list{"count/services": "1", "services": "1", "services.nodeports": "1", "services.loadbalancers": "1"}},
		{"a claim", "persistentvolumeclaims", `{"spec":{"resources":{"requests":{"storage":"1Gi"}}}}`, list{"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "1Gi"}},
		{"of a class, which was given more", "persistentvolumeclaims", `{"spec":{"storageClassName":"gold","resources":{"requests":{"storage":"1500m"}}},"status":{"allocatedResources":{"storage":"1Gi"}}}`,
			list{"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "1Gi",
				"gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"}},
		{"of parts of a byte", "persistentvolumeclaims", `{"metadata":{"annotations":{"volume.beta.kubernetes.io/storage-class":""}},"spec":{"storageClassName":"gold","resources":{"requests":{"storage":"1500m"}}}}`,
			list{"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, object(t, tc.object).Usage(tc.resource, now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTracked(t *testing.T) {
	hard := list{}
	for _, name := range []corev1.ResourceName{"pods", "count/pods", "cpu", "requests.cpu", "limits.memory", "requests.ephemeral-storage", "hugepages-2Mi", "requests.hugepages-1Gi",
		"requests.example.com/gpu", "requests.deviceclass.resource.kubernetes.io/x", "services", "services.nodeports", "count/services", "persistentvolumeclaims", "requests.storage",
		"gold.storageclass.storage.k8s.io/requests.storage", "count/widgets.example.com", "secrets", "count/secrets", "configmaps", "requests.foo.kubernetes.io/x"} {
		hard[name] = "1"
	}
	for resource, want := range map[string][]corev1.ResourceName{
		"pods": {"count/pods", "cpu", "hugepages-2Mi", "limits.memory", "pods", "requests.cpu", "requests.deviceclass.resource.kubernetes.io/x", "requests.ephemeral-storage",
			"requests.example.com/gpu", "requests.hugepages-1Gi"},
		"services":               {"count/services", "services", "services.nodeports"},
		"persistentvolumeclaims": {"gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims", "requests.storage"},
		"secrets":                {"count/secrets", "secrets"},
		"widgets.example.com":    {"count/widgets.example.com"},
		"widgets.other.com":      nil,
	} {
		if diff := cmp.Diff(want, quota.Tracked(resource, hard)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", resource, diff)
		}
	}
}

func TestInScope(t *testing.T) {
	const (
		plain    = `{"spec":{"containers":[{"name":"c"}]}}`
		careful  = `{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]}}`
		deadline = `{"spec":{"activeDeadlineSeconds":0}}`
		high     = `{"spec":{"priorityClassName":"high"}}`
		across   = `{"spec":{"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"podAffinityTerm":{"namespaces":["x"]}}]}}}}`
		any      = `{"spec":{"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"namespaceSelector":{}}]}}}}`
		silver   = `{"spec":{"volumeAttributesClassName":"silver"},"status":{"currentVolumeAttributesClassName":"gold"}}`
	)
	sel := func(scope, op string, values ...string) *corev1.ResourceQuotaSpec {
		return &corev1.ResourceQuotaSpec{ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
			{ScopeName: corev1.ResourceQuotaScope(scope), Operator: corev1.ScopeSelectorOperator(op), Values: values}}}}
	}
	scopes := func(list ...corev1.ResourceQuotaScope) *corev1.ResourceQuotaSpec {
		return &corev1.ResourceQuotaSpec{Scopes: list}
	}
	for _, tc := range []struct {
		name, resource, object string
		spec                   *corev1.ResourceQuotaSpec
		want                   bool
	}{
		{"no scope", "services", plain, scopes(), true},
		{"a kind without scopes", "services", plain, scopes("NotTerminating"), false},
		{"terminating", "pods", deadline, scopes("Terminating"), true},
		{"not terminating", "pods", deadline, scopes("NotTerminating"), false},
		{"lasting", "pods", plain, scopes("NotTerminating"), true},
		{"best effort", "pods", plain, scopes("BestEffort"), true},
		{"not best effort", "pods", careful, scopes("BestEffort"), false},
		{"two scopes", "pods", careful, scopes("NotBestEffort", "Terminating"), false},
		{"both scopes", "pods", careful, scopes("NotBestEffort", "NotTerminating"), true},
		{"of a class", "pods", high, sel("PriorityClass", "In", "low", "high"), true},
		{"of another", "pods", high, sel("PriorityClass", "In", "low"), false},
		{"of none of those", "pods", high, sel("PriorityClass", "NotIn", "high"), false},
		{"of none", "pods", plain, sel("PriorityClass", "NotIn", "high"), true},
		{"of any", "pods", high, sel("PriorityClass", "Exists"), true},
		{"of not any", "pods", high, sel("PriorityClass", "DoesNotExist"), false},
		{"terms of other namespaces", "pods", across, scopes("CrossNamespacePodAffinity"), true},
		{"of all namespaces", "pods", any, sel("CrossNamespacePodAffinity", "Exists"), true},
		{"of its own", "pods", plain, scopes("CrossNamespacePodAffinity"), false},
		{"what a claim has and wants", "persistentvolumeclaims", silver, sel("VolumeAttributesClass", "In", "gold"), true},
		{"what it has not", "persistentvolumeclaims", silver, sel("VolumeAttributesClass", "In", "lead"), false},
		{"one of its classes is not gold", "persistentvolumeclaims", silver, sel("VolumeAttributesClass", "NotIn", "gold"), true},
		{"a scope of pods", "persistentvolumeclaims", silver, scopes("BestEffort"), false},
	} {
		if got := object(t, tc.object).InScope(tc.resource, tc.spec); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestMissing(t *testing.T) {
	two := `{"spec":{"containers":[{"name":"b"},{"name":"a","resources":{"limits":{"cpu":"1"}}}],"initContainers":[{"name":"i","resources":{"requests":{"memory":"1"}}}]}}`
	for _, tc := range []struct {
		object string
		names  []corev1.ResourceName
		want   string
	}{
		{two, []corev1.ResourceName{"limits.cpu", "pods"}, "must specify limits.cpu for: b,i"},
		{two, []corev1.ResourceName{"requests.memory", "memory"}, "must specify memory for: a,b; requests.memory for: a,b"},
		{two, []corev1.ResourceName{"ephemeral-storage", "requests.example.com/gpu"}, ""},
		{`{"spec":{"resources":{"limits":{"cpu":"1"}},"containers":[{"name":"b"}]}}`, []corev1.ResourceName{"memory"}, ""},
	} {
		if got := object(t, tc.object).Missing(tc.names); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.names, got, tc.want)
		}
	}
}
