package resourcequota_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/resourcequota"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type (
	m    = map[string]any
	list = corev1.ResourceList
)

// quotas holds quotas of the namespace ns by name, and one of another that is full.
func quotas(t *testing.T, all map[string]corev1.ResourceQuota) *sdktest.Store {
	t.Helper()
	s, err := sdktest.NewStore(&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "full"},
		Status: corev1.ResourceQuotaStatus{Hard: list{"pods": "0"}, Used: list{"pods": "0"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range all {
		q.Namespace, q.Name = "ns", name
		if err := s.Client().Create(&q); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func of(hard, used list, scopes ...corev1.ResourceQuotaScope) corev1.ResourceQuota {
	return corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes}, Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used}}
}

func pod(cpu string, more m) m {
	spec := m{"containers": []any{m{"name": "c", "resources": m{"requests": m{"cpu": cpu}}}}}
	for k, v := range more {
		spec[k] = v
	}
	return m{"spec": spec}
}

func claim(storage string, status m) m {
	return m{"spec": m{"resources": m{"requests": m{"storage": storage}}}, "status": status}
}

func TestValidate(t *testing.T) {
	one := func(hard, used list, scopes ...corev1.ResourceQuotaScope) map[string]corev1.ResourceQuota {
		return map[string]corev1.ResourceQuota{"q": of(hard, used, scopes...)}
	}
	create, update := admission.Create, admission.Update
	for _, tc := range []struct {
		name     string
		quotas   map[string]corev1.ResourceQuota
		op       admission.Operation
		resource string
		sub      string
		old, new m
		charged  map[string]map[string]string // by quota
		refused  string
	}{
		{"no quota", nil, create, "v1/pods", "", nil, pod("1", nil), nil, ""},
		{"a quota of something else", one(list{"services": "0"}, list{"services": "0"}), create, "v1/pods", "", nil, pod("1", nil), nil, ""},
		{"not worked out yet", map[string]corev1.ResourceQuota{"q": {Spec: corev1.ResourceQuotaSpec{Hard: list{"pods": "0"}}}}, create, "v1/pods", "", nil, pod("1", nil), nil, ""},
		{"half worked out", one(list{"pods": "1", "requests.cpu": "1"}, list{}), create, "v1/pods", "", nil, pod("1", nil), nil, "status unknown for quota: q, resources: pods,requests.cpu"},
		{"fits", one(list{"pods": "3", "requests.cpu": "1"}, list{"pods": "2", "requests.cpu": "500m"}), create, "v1/pods", "", nil, pod("500m", nil), map[string]map[string]string{"q": {"pods": "1", "requests.cpu": "500m"}}, ""},
		{"does not fit", one(list{"pods": "2", "requests.cpu": "1"}, list{"pods": "2", "requests.cpu": "0"}), create, "v1/pods", "", nil, pod("500m", nil), map[string]map[string]string{"q": {"pods": "1", "requests.cpu": "500m"}},
			"exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"},
		{"says nothing of what it must", one(list{"limits.cpu": "1"}, list{"limits.cpu": "0"}), create, "v1/pods", "", nil, pod("500m", nil), nil, "failed quota: q: must specify limits.cpu for: c"},
		{"two quotas, one of another scope", map[string]corev1.ResourceQuota{"a": of(list{"pods": "1"}, list{"pods": "0"}, "NotTerminating"), "b": of(list{"pods": "0"}, list{"pods": "0"}, "Terminating")},
			create, "v1/pods", "", nil, pod("1", nil), map[string]map[string]string{"a": {"pods": "1"}}, ""},
		{"a negative amount", one(list{"requests.cpu": "1"}, list{"requests.cpu": "0"}), create, "v1/pods", "", nil, pod("-1", nil), nil, "quota usage is negative for resource(s): cpu,requests.cpu"},
		{"a binding", one(list{"pods": "0"}, list{"pods": "0"}), create, "v1/pods", "binding", nil, m{}, nil, ""},
		{"a pod that changes", one(list{"pods": "0"}, list{"pods": "0"}), update, "v1/pods", "", pod("1", nil), pod("1", m{"activeDeadlineSeconds": 5}), nil, ""},
		{"a pod that changes its scope", one(list{"pods": "0"}, list{"pods": "0"}, "Terminating"), update, "v1/pods", "", pod("1", nil), pod("1", m{"activeDeadlineSeconds": 5}), map[string]map[string]string{"q": {"pods": "1"}},
			"exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"},
		{"a resize", one(list{"requests.cpu": "2"}, list{"requests.cpu": "1"}), update, "v1/pods", "resize", pod("1", nil), pod("1500m", nil), map[string]map[string]string{"q": {"requests.cpu": "500m"}}, ""},
		{"a resize that is too much", one(list{"requests.cpu": "2"}, list{"requests.cpu": "1800m"}), update, "v1/pods", "resize", pod("1", nil), pod("1.5", nil), map[string]map[string]string{"q": {"requests.cpu": "500m"}},
			"exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=1800m, limited: requests.cpu=2"},
		{"a resize to less", one(list{"requests.cpu": "1"}, list{"requests.cpu": "9"}), update, "v1/pods", "resize", pod("2", nil), pod("1", nil), nil, ""},
		{"a kind whose fields are of other types", one(list{"count/widgets.example.com": "2"}, list{"count/widgets.example.com": "1"}), create, "example.com/v1/widgets", "", nil,
			m{"spec": m{"resources": []any{"a"}, "type": 3, "containers": "none"}}, map[string]map[string]string{"q": {"count/widgets.example.com": "1"}}, ""},
		{"any kind", one(list{"count/widgets.example.com": "1"}, list{"count/widgets.example.com": "1"}), create, "example.com/v1/widgets", "", nil, m{}, map[string]map[string]string{"q": {"count/widgets.example.com": "1"}},
			"exceeded quota: q, requested: count/widgets.example.com=1, used: count/widgets.example.com=1, limited: count/widgets.example.com=1"},
		{"an event", one(list{"count/events": "0"}, list{"count/events": "0"}), create, "v1/events", "", nil, m{}, nil, ""},
		{"a claim that grows", one(list{"requests.storage": "3Gi"}, list{"requests.storage": "1Gi"}), update, "v1/persistentvolumeclaims", "", claim("1Gi", nil), claim("2Gi", nil), map[string]map[string]string{"q": {"requests.storage": "1Gi"}}, ""},
		{"a claim that was given more, however much there is left", one(list{"requests.storage": "1Gi"}, list{"requests.storage": "1Gi"}), update, "v1/persistentvolumeclaims", "status", claim("1Gi", nil), claim("1Gi", m{"allocatedResources": m{"storage": "2Gi"}}),
			map[string]map[string]string{"q": {"requests.storage": "1Gi"}}, ""},
		{"a claim whose status says something else", one(list{"requests.storage": "0"}, list{"requests.storage": "1Gi"}), update, "v1/persistentvolumeclaims", "status", claim("1Gi", nil), claim("1Gi", m{"phase": "Bound"}), nil, ""},
		{"a Service of another type", one(list{"services.nodeports": "1", "services": "0"}, list{"services.nodeports": "1", "services": "9"}), update, "v1/services", "",
			m{"spec": m{"type": "ClusterIP", "ports": []any{m{}}}}, m{"spec": m{"type": "NodePort", "ports": []any{m{}}}}, map[string]map[string]string{"q": {"services.nodeports": "1"}},
			"exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := sdktest.Request{Operation: tc.op, Resource: tc.resource, Subresource: tc.sub, Namespace: "ns", Object: tc.new, Store: quotas(t, tc.quotas)}
			if tc.old != nil {
				q.Old = tc.old
			}
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "resource-quota", ""), q)
			if v.Message != tc.refused || v.Forbidden != (tc.refused != "") {
				t.Errorf("forbidden %v %q, want %q", v.Forbidden, v.Message, tc.refused)
			}
			var charged map[string]map[string]string
			for _, c := range v.Charges {
				if charged == nil {
					charged = map[string]map[string]string{}
				}
				charged[c.Object.Name] = map[string]string{}
				for n, amount := range c.Amounts {
					charged[c.Object.Name][n] = string(amount)
				}
				if bounded := tc.sub != "status"; c.Totals != "status.used" || (c.Limits == "status.hard") != bounded || (len(c.Bounds) > 0) != bounded || c.UID == "" {
					t.Errorf("charge %+v", c)
				}
			}
			if diff := cmp.Diff(tc.charged, charged); diff != "" {
				t.Errorf("charges (-want +got):\n%s", diff)
			}
		})
	}
}
