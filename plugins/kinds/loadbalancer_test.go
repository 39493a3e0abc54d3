package kinds_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// TestLoadBalancer: Services of the type get the nodes' addresses, each port once; what
// is without a place waits for it and is told so, and nothing is left when the type
// changes or the Service goes.
func TestLoadBalancer(t *testing.T) {
	s := newControlled(t, "load-balancer")
	services := s.CoreV1().Services("default")
	make := func(name string, change func(*corev1.Service)) {
		t.Helper()
		svc := plainService(name, "")
		svc.Spec.Type = corev1.ServiceTypeLoadBalancer
		if change != nil {
			change(svc)
		}
		if _, err := services.Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(name string) *corev1.Service {
		t.Helper()
		svc, err := services.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return svc
	}
	has := func(name, want string) {
		t.Helper()
		await(t, name, func() string {
			var ips []string
			for _, in := range get(name).Status.LoadBalancer.Ingress {
				if in.IPMode == nil || *in.IPMode != corev1.LoadBalancerIPModeVIP {
					return "not a VIP: " + in.IP
				}
				ips = append(ips, in.IP)
			}
			if got := strings.Join(ips, ","); got != want {
				return "has " + got + ", want " + want
			}
			return ""
		})
	}
	make("web", func(svc *corev1.Service) {
		no := false
		svc.Spec.AllocateLoadBalancerNodePorts = &no
	})
	eventOf(t, s, "default", "web", "UnAvailableLoadBalancer")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	node, err := s.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.7"}}
	if _, err := s.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	has("web", "192.0.2.7")
	eventOf(t, s, "default", "web", "EnsuredLoadBalancer")
	if web := get("web"); len(web.Finalizers) > 0 || web.Spec.Ports[0].NodePort != 0 || meta.FindStatusCondition(web.Status.Conditions, "pintle.dev/LoadBalancer") == nil {
		t.Errorf("finalizers %v, node port %d, status %v", web.Finalizers, web.Spec.Ports[0].NodePort, web.Status)
	}
	make("other", nil)
	eventOf(t, s, "default", "other", "SyncLoadBalancerFailed")
	foreign := "example.com/internal-vip"
	make("foreign", func(svc *corev1.Service) { svc.Spec.LoadBalancerClass = &foreign })
	has("other", "")

	if _, err := services.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"type":"ClusterIP","allocateLoadBalancerNodePorts":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	has("web", "")
	has("other", "192.0.2.7")
	await(t, "no mark", func() string {
		if c := get("web").Status.Conditions; len(c) > 0 {
			return c[0].Message
		}
		return ""
	})
	// Another controller of Services without a class: its word is the last one.
	other := get("other")
	other.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.9", IPMode: ptr.To(corev1.LoadBalancerIPModeVIP)}}
	if _, err := services.UpdateStatus(t.Context(), other, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the mark goes", func() string {
		if c := get("other").Status.Conditions; len(c) > 0 {
			return c[0].Message
		}
		return ""
	})
	has("other", "203.0.113.9")
	if err := services.Delete(t.Context(), "other", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "it goes", func() string {
		if _, err := services.Get(t.Context(), "other", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return "it is there"
		}
		return ""
	})
	if f := get("foreign"); len(f.Finalizers) > 0 || len(f.Status.LoadBalancer.Ingress) > 0 {
		t.Errorf("of another class: %v, %v", f.Finalizers, f.Status)
	}
}
