package resourcequota_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/controllers/resourcequota"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type list = corev1.ResourceList

func pod(name, cpu string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: list{"cpu": resource.Quantity(cpu)}}}}}}
	if change != nil {
		change(p)
	}
	return p
}

func TestReconcile(t *testing.T) {
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	}
	objects := []client.Object{
		pod("a", "100m", nil), pod("b", "200m", nil), pod("ended", "5", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		pod("elsewhere", "7", func(p *corev1.Pod) { p.Namespace = "other" }),
		secret("x"), secret("y"),
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Spec: corev1.ServiceSpec{Type: "NodePort", Ports: []corev1.ServicePort{{Port: 80}}}},
	}
	hard := list{"pods": "9", "requests.cpu": "9", "count/pods": "9", "secrets": "9", "count/secrets": "9", "services.nodeports": "9", "requests.storage": "1Gi", "count/widgets.example.com": "3", "what.nobody/knows": "1"}
	all := list{"pods": "2", "requests.cpu": "300m", "count/pods": "3", "secrets": "2", "count/secrets": "2", "services.nodeports": "1", "requests.storage": "0", "count/widgets.example.com": "0"}
	stale := func(with list) list {
		out := list{}
		for name := range all {
			out[name] = "7"
		}
		for name, q := range with {
			out[name] = q
		}
		return out
	}
	for _, tc := range []struct {
		name    string
		spec    corev1.ResourceQuotaSpec
		status  corev1.ResourceQuotaStatus
		request string
		want    corev1.ResourceQuotaStatus
		written bool
	}{
		{"new", corev1.ResourceQuotaSpec{Hard: hard}, corev1.ResourceQuotaStatus{}, "*", corev1.ResourceQuotaStatus{Hard: hard, Used: all}, true},
		{"nothing to do", corev1.ResourceQuotaSpec{Hard: hard}, corev1.ResourceQuotaStatus{Hard: hard, Used: all}, "*", corev1.ResourceQuotaStatus{Hard: hard, Used: all}, false},
		{"all anew", corev1.ResourceQuotaSpec{Hard: hard}, corev1.ResourceQuotaStatus{Hard: hard, Used: stale(nil)}, "*", corev1.ResourceQuotaStatus{Hard: hard, Used: all}, true},
		{"only secrets", corev1.ResourceQuotaSpec{Hard: hard}, corev1.ResourceQuotaStatus{Hard: hard, Used: stale(nil)}, "v1/secrets",
			corev1.ResourceQuotaStatus{Hard: hard, Used: stale(list{"secrets": "2", "count/secrets": "2"})}, true},
		{"only pods", corev1.ResourceQuotaSpec{Hard: hard}, corev1.ResourceQuotaStatus{Hard: hard, Used: stale(nil)}, "v1/pods",
			corev1.ResourceQuotaStatus{Hard: hard, Used: stale(list{"pods": "2", "requests.cpu": "300m", "count/pods": "3"})}, true},
		{"what it does not track", corev1.ResourceQuotaSpec{Hard: hard}, corev1.ResourceQuotaStatus{Hard: hard, Used: stale(nil)}, "apps/v1/deployments", corev1.ResourceQuotaStatus{Hard: hard, Used: stale(nil)}, false},
		{"other limits", corev1.ResourceQuotaSpec{Hard: list{"pods": "1"}}, corev1.ResourceQuotaStatus{Hard: hard, Used: all}, "v1/secrets", corev1.ResourceQuotaStatus{Hard: list{"pods": "1"}, Used: list{"pods": "2"}}, true},
		{"a scope", corev1.ResourceQuotaSpec{Hard: list{"pods": "1", "secrets": "1"}, Scopes: []corev1.ResourceQuotaScope{"Terminating"}}, corev1.ResourceQuotaStatus{}, "*",
			corev1.ResourceQuotaStatus{Hard: list{"pods": "1", "secrets": "1"}, Used: list{"pods": "0", "secrets": "0"}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := sdktest.NewStore(objects...)
			if err != nil {
				t.Fatal(err)
			}
			q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "q"}, Spec: tc.spec, Status: tc.status}
			if err := s.Client().Create(q); err != nil {
				t.Fatal(err)
			}
			before := q.ResourceVersion
			res, err := sdktest.Open[*controller.Points](t, "resource-quota-status", "").Reconcile(s.Client(), controller.Request{Namespace: "ns", Name: tc.request})
			if err != nil {
				t.Fatal(err)
			}
			if (res.RequeueAfter > 0) != (tc.request == "*") {
				t.Errorf("again after %s", res.RequeueAfter)
			}
			if err := s.Client().Get(q, "ns", "q"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, q.Status); diff != "" || (q.ResourceVersion != before) != tc.written {
				t.Errorf("written %v; status (-want +got):\n%s", q.ResourceVersion != before, diff)
			}
		})
	}
}

// TestReconcileWaitsForPods: a pod that hangs while it is deleted is counted out when its
// time is over, not minutes later.
func TestReconcileWaitsForPods(t *testing.T) {
	grace := int64(30)
	deleted := metav1.Time(time.Now().UTC().Format(time.RFC3339))
	s, err := sdktest.NewStore(pod("p", "1", func(p *corev1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &deleted, &grace }),
		&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: list{"pods": "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	points := sdktest.Open[*controller.Points](t, "resource-quota-status", "")
	res, err := points.Reconcile(s.Client(), controller.Request{Namespace: "ns", Name: "*"})
	if err != nil || res.RequeueAfter <= 0 || res.RequeueAfter > 32*time.Second {
		t.Errorf("again after %s, %v", res.RequeueAfter, err)
	}
	if res, err = points.Reconcile(s.Client(), controller.Request{Namespace: "empty", Name: "*"}); err != nil || res.RequeueAfter != 0 {
		t.Errorf("without a quota: again after %s, %v", res.RequeueAfter, err)
	}
}

// stubborn refuses to update one quota.
type stubborn struct{ client.Client }

func (c stubborn) UpdateStatus(obj client.Object) error {
	if q, ok := obj.(*corev1.ResourceQuota); ok && q.Name == "a" {
		return errors.New("not this one")
	}
	return c.Client.UpdateStatus(obj)
}

// A quota that cannot be written does not keep the others of its namespace.
func TestOneFails(t *testing.T) {
	quota := func(name string) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: corev1.ResourceQuotaSpec{Hard: list{"pods": "1"}}}
	}
	s, err := sdktest.NewStore(quota("a"), quota("b"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = sdktest.Open[*controller.Points](t, "resource-quota-status", "").Reconcile(stubborn{s.Client()}, controller.Request{Namespace: "ns", Name: "*"})
	if err == nil || err.Error() != "update status of ns/a: not this one" {
		t.Errorf("error %v", err)
	}
	q := &corev1.ResourceQuota{}
	if err := s.Client().Get(q, "ns", "b"); err != nil || q.Status.Used["pods"] != "0" {
		t.Errorf("%v; the other has %+v", err, q.Status)
	}
}
