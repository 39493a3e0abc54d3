package limitranger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/limitranger"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

type list = corev1.ResourceList

func store(t *testing.T, items ...corev1.LimitRangeItem) *sdktest.Store {
	t.Helper()
	return ranges(t, items)
}

// ranges holds a LimitRange for each list of items, and one of another namespace.
func ranges(t *testing.T, all ...[]corev1.LimitRangeItem) *sdktest.Store {
	t.Helper()
	s, err := sdktest.NewStore(&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "strict"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: "Container", Min: list{"cpu": "100"}, Default: list{"cpu": "100"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, items := range all {
		l := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: string(rune('a' + i))}, Spec: corev1.LimitRangeSpec{Limits: items}}
		if err := s.Client().Create(l); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// c is a container with requests and limits.
func c(name string, requests, limits m) m {
	return m{"name": name, "resources": m{"requests": requests, "limits": limits}}
}

func sidecar(name string, requests, limits m) m {
	x := c(name, requests, limits)
	x["restartPolicy"] = "Always"
	return x
}

func spec(containers ...any) m { return m{"spec": m{"containers": containers}} }

func TestMutate(t *testing.T) {
	usual := []corev1.LimitRangeItem{{Type: "Container", DefaultRequest: list{"cpu": "50m", "memory": "5Mi"}, Default: list{"cpu": "75m", "memory": "10Mi"}}, {Type: "Pod", Max: list{"cpu": "2"}}}
	const said = "metadata.annotations[kubernetes.io/limit-ranger] "
	for _, tc := range []struct {
		name   string
		ranges [][]corev1.LimitRangeItem
		object m
		want   []string
	}{
		{"no LimitRange", nil, spec(m{"name": "x"}), nil},
		{"nothing said", [][]corev1.LimitRangeItem{usual}, spec(m{"name": "x"}), []string{
			`spec.containers[0].resources.requests[cpu] "50m"`, `spec.containers[0].resources.requests[memory] "5Mi"`,
			`spec.containers[0].resources.limits[cpu] "75m"`, `spec.containers[0].resources.limits[memory] "10Mi"`,
			said + `"LimitRanger plugin set: cpu, memory request for container x; cpu, memory limit for container x"`}},
		{"some said, others not, init containers", [][]corev1.LimitRangeItem{usual},
			m{"spec": m{"containers": []any{c("x", m{"cpu": "1", "memory": "1"}, m{"memory": "1"}), c("y", m{"cpu": "1", "memory": "1"}, m{"cpu": "1", "memory": "1"})}, "initContainers": []any{c("i", m{"memory": "1"}, m{"cpu": "1", "memory": "1"})}}},
			[]string{`spec.containers[0].resources.limits[cpu] "75m"`, `spec.initContainers[0].resources.requests[cpu] "50m"`,
				said + `"LimitRanger plugin set: cpu limit for container x; cpu request for init container i"`}},
		{"two ranges: the first counts, the last to set something is told of", [][]corev1.LimitRangeItem{usual, {{Type: "Container", Default: list{"cpu": "9", "example.com/gpu": "1"}}}}, spec(c("x", m{"cpu": "1", "memory": "1"}, m{"memory": "1"})),
			[]string{`spec.containers[0].resources.limits[cpu] "75m"`, `spec.containers[0].resources.limits[example.com/gpu] "1"`, said + `"LimitRanger plugin set: example.com/gpu limit for container x"`}},
		{"everything said", [][]corev1.LimitRangeItem{usual}, spec(c("x", m{"cpu": "1", "memory": "1"}, m{"cpu": "1", "memory": "1"})), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "limit-ranger", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: tc.object, Store: ranges(t, tc.ranges...)})
			var got []string
			for _, p := range v.Patch {
				got = append(got, p.Path+" "+string(p.Value))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || v.Denied {
				t.Errorf("denied %v %q; patch (-want +got):\n%s", v.Denied, v.Message, diff)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	container := func(x corev1.LimitRangeItem) corev1.LimitRangeItem { x.Type = "Container"; return x }
	pod := func(x corev1.LimitRangeItem) corev1.LimitRangeItem { x.Type = "Pod"; return x }
	minimum, maximum := corev1.LimitRangeItem{Min: list{"cpu": "50m"}}, corev1.LimitRangeItem{Max: list{"memory": "1Gi"}}
	twice := corev1.LimitRangeItem{MaxLimitRequestRatio: list{"cpu": "2"}}
	for _, tc := range []struct {
		name   string
		item   corev1.LimitRangeItem
		object m
		want   string
	}{
		{"enough", container(minimum), spec(c("x", m{"cpu": "0.05"}, m{"cpu": "50m"})), ""},
		{"no request", container(minimum), spec(c("x", nil, nil)), "minimum cpu usage per Container is 50m.  No request is specified"},
		{"too small a request", container(minimum), spec(c("x", m{"cpu": "49m"}, nil)), "minimum cpu usage per Container is 50m, but request is 49m"},
		{"too small a limit", container(minimum), spec(c("x", m{"cpu": "60m"}, m{"cpu": "10m"})), "minimum cpu usage per Container is 50m, but limit is 10m"},
		{"in an init container", container(minimum), m{"spec": m{"initContainers": []any{c("x", m{"cpu": "1m"}, nil)}}}, "minimum cpu usage per Container is 50m, but request is 1m"},
		{"little enough", container(maximum), spec(c("x", m{"memory": "1Gi"}, m{"memory": "1024Mi"})), ""},
		{"no limit", container(maximum), spec(c("x", m{"memory": "1"}, nil)), "maximum memory usage per Container is 1Gi.  No limit is specified"},
		{"too large a limit", container(maximum), spec(c("x", m{"memory": "1"}, m{"memory": "2Gi"})), "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
		{"too large a request", container(maximum), spec(c("x", m{"memory": "2Gi"}, m{"memory": "1Gi"})), "maximum memory usage per Container is 1Gi, but request is 2Gi"},
		{"within the ratio", container(twice), spec(c("x", m{"cpu": "100m"}, m{"cpu": "200m"})), ""},
		{"beyond the ratio", container(twice), spec(c("x", m{"cpu": "100m"}, m{"cpu": "250m"})), "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000"},
		{"no request for a ratio", container(twice), spec(c("x", nil, m{"cpu": "1"})), "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"},
		{"no limit for a ratio", container(twice), spec(c("x", m{"cpu": "1"}, nil)), "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"},
		{"a ratio of parts", container(corev1.LimitRangeItem{MaxLimitRequestRatio: list{"cpu": "1500m"}}), spec(c("x", m{"cpu": "1"}, m{"cpu": "1600m"})), "cpu max limit to request ratio per Container is 1500m, but provided ratio is 1.600000"},
		{"several faults, each once", container(corev1.LimitRangeItem{Min: list{"cpu": "50m"}, Max: list{"memory": "1Gi"}}), spec(c("x", nil, nil), c("y", nil, nil)),
			"[minimum cpu usage per Container is 50m.  No request is specified, maximum memory usage per Container is 1Gi.  No limit is specified]"},

		{"a pod's containers together", pod(minimum), spec(c("x", m{"cpu": "25m"}, nil), c("y", m{"cpu": "25m"}, nil)), ""},
		{"a pod too large", pod(maximum), spec(c("x", m{"memory": "1"}, m{"memory": "700Mi"}), c("y", m{"memory": "1"}, m{"memory": "400Mi"})), "maximum memory usage per Pod is 1Gi, but limit is 1100Mi"},
		{"an init container beside the largest", pod(maximum), m{"spec": m{"containers": []any{c("x", nil, m{"memory": "600Mi"})}, "initContainers": []any{c("i", nil, m{"memory": "900Mi"})}}}, ""},
		{"an init container too large", pod(maximum), m{"spec": m{"containers": []any{c("x", nil, m{"memory": "600Mi"})}, "initContainers": []any{c("i", nil, m{"memory": "2Gi"})}}}, "maximum memory usage per Pod is 1Gi, but limit is 2Gi"},
		{"a sidecar counts", pod(maximum), m{"spec": m{"containers": []any{c("x", nil, m{"memory": "600Mi"})}, "initContainers": []any{sidecar("s", nil, m{"memory": "500Mi"})}}}, "maximum memory usage per Pod is 1Gi, but limit is 1100Mi"},
		{"a sidecar beside an init container", pod(maximum), m{"spec": m{"containers": []any{c("x", nil, m{"memory": "1Mi"})}, "initContainers": []any{sidecar("s", nil, m{"memory": "500Mi"}), c("i", nil, m{"memory": "600Mi"})}}}, "maximum memory usage per Pod is 1Gi, but limit is 1100Mi"},
		{"an init container before the sidecar", pod(maximum), m{"spec": m{"containers": []any{c("x", nil, m{"memory": "1Mi"})}, "initContainers": []any{c("i", nil, m{"memory": "600Mi"}), sidecar("s", nil, m{"memory": "500Mi"})}}}, ""},
		{"the pod as a whole", pod(maximum), m{"spec": m{"containers": []any{c("x", nil, m{"memory": "1Mi"})}, "resources": m{"limits": m{"memory": "2Gi"}}}}, "maximum memory usage per Pod is 1Gi, but limit is 2Gi"},
		{"a pod's ratio", pod(twice), spec(c("x", m{"cpu": "1"}, m{"cpu": "2"}), c("y", m{"cpu": "1"}, m{"cpu": "3"})), "cpu max limit to request ratio per Pod is 2, but provided ratio is 2.500000"},
		{"of claims, to a pod", corev1.LimitRangeItem{Type: "PersistentVolumeClaim", Min: list{"storage": "1Gi"}}, spec(c("x", nil, nil)), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "limit-ranger", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: tc.object, Store: store(t, tc.item)})
			if v.Message != tc.want || v.Forbidden != (tc.want != "") {
				t.Errorf("forbidden %v %q, want %q", v.Forbidden, v.Message, tc.want)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	item := corev1.LimitRangeItem{Type: "PersistentVolumeClaim", Min: list{"storage": "1Gi"}, Max: list{"storage": "3Gi"}}
	for want, storage := range map[string]m{
		"": {"storage": "2Gi"},
		"minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi":                                                                                           {"storage": "1Mi"},
		"maximum storage usage per PersistentVolumeClaim is 3Gi, but request is 4Gi":                                                                                           {"storage": "4Gi"},
		"[minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified, maximum storage usage per PersistentVolumeClaim is 3Gi.  No request is specified]": nil,
	} {
		claim := m{"spec": m{"resources": m{"requests": storage}}}
		q := sdktest.Request{Resource: "v1/persistentvolumeclaims", Namespace: "ns", Object: claim, Store: store(t, item)}
		points := sdktest.Open[*admission.Points](t, "limit-ranger", "")
		if v := sdktest.Mutate(t, points, q); v.Denied || len(v.Patch) > 0 {
			t.Errorf("a claim is changed: %+v", v)
		}
		if v := sdktest.Validate(t, points, q); v.Message != want || v.Forbidden != (want != "") {
			t.Errorf("forbidden %v %q, want %q", v.Forbidden, v.Message, want)
		}
		q.Operation, q.Old = admission.Update, m{"metadata": m{"deletionTimestamp": "2026-01-01T00:00:00Z"}}
		if v := sdktest.Validate(t, points, q); v.Denied {
			t.Errorf("a claim that is being deleted: %s", v.Message)
		}
	}
}
