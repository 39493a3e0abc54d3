package kinds_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// await waits until check answers "".
func await(t testing.TB, what string, check func() string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if last = check(); last == "" {
			return
		}
	}
	t.Fatalf("%s: %s", what, last)
}

// eventOf waits for an event about an object of the name.
func eventOf(t testing.TB, cs kubernetes.Interface, namespace, name, reason string) {
	t.Helper()
	await(t, fmt.Sprintf("event %s of %s", reason, name), func() string {
		l, err := cs.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		if slices.ContainsFunc(l.Items, func(e corev1.Event) bool { return e.InvolvedObject.Name == name && e.Reason == reason }) {
			return ""
		}
		return fmt.Sprintf("none among %d", len(l.Items))
	})
}

func plainService(name, ip string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: []corev1.ServicePort{{Port: 80}}}}
}

// TestServiceCIDR is upstream's "should create Services and serve on different Service
// CIDRs" (test/e2e/network/service_cidrs.go) up to the nodes, and what its integration
// tests ask of a ServiceCIDR that is deleted.
func TestServiceCIDR(t *testing.T) {
	s := newControlled(t, "service-cidr")
	cidrs, services := s.NetworkingV1().ServiceCIDRs(), s.CoreV1().Services("default")
	conditionOf := func(name string) (metav1.ConditionStatus, string) {
		r, err := cidrs.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return "", err.Error()
		}
		c := meta.FindStatusCondition(r.Status.Conditions, "Ready")
		if c == nil {
			return "", "no condition"
		}
		return c.Status, c.Reason + " " + c.Message
	}
	make := func(name, prefix string) {
		t.Helper()
		_, err := cidrs.Create(t.Context(), &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{prefix}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		await(t, name+" is ready", func() string {
			if is, why := conditionOf(name); is != metav1.ConditionTrue {
				return why
			}
			return ""
		})
	}
	if _, err := services.Create(t.Context(), plainService("early", "203.0.113.10"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an address of no range: %v", err)
	}
	make("test-svc-cidr", "203.0.113.0/24")
	if _, err := services.Create(t.Context(), plainService("cidr1-test", "203.0.113.10"), metav1.CreateOptions{}); err != nil {
		t.Fatalf("an address of a range that is ready: %v", err)
	}
	r, err := cidrs.Get(t.Context(), "test-svc-cidr", metav1.GetOptions{})
	if err != nil || !slices.Contains(r.Finalizers, "networking.k8s.io/service-cidr-finalizer") {
		t.Errorf("finalizers %v, %v", r.Finalizers, err)
	}
	if err := cidrs.Delete(t.Context(), "test-svc-cidr", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "it waits", func() string {
		if is, why := conditionOf("test-svc-cidr"); is != metav1.ConditionFalse || why != "Terminating There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR" {
			return fmt.Sprint(is, why)
		}
		return ""
	})
	if _, err := services.Create(t.Context(), plainService("late", "203.0.113.11"), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an address of a range that is going: %v", err)
	}
	// Another range that has the address lets it go, and then the Service does.
	make("larger", "203.0.112.0/22")
	gone := func(name string) func() string {
		return func() string {
			if _, err := cidrs.Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Sprint("it is there: ", err)
			}
			return ""
		}
	}
	await(t, "covered", gone("test-svc-cidr"))
	if err := cidrs.Delete(t.Context(), "larger", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the larger one waits", func() string {
		is, why := conditionOf("larger")
		if is != metav1.ConditionFalse {
			return why
		}
		return ""
	})
	if err := services.Delete(t.Context(), "cidr1-test", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "empty", gone("larger"))
}

// TestIPAddressRepair: a claim that somebody deleted comes back, and one without a
// Service goes.
func TestIPAddressRepair(t *testing.T) {
	s := newControlled(t, "ip-address-repair")
	svc, err := s.CoreV1().Services("default").Create(t.Context(), plainService("web", ""), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ips := s.NetworkingV1().IPAddresses()
	ip := svc.Spec.ClusterIP
	before, err := ips.Get(t.Context(), ip, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ips.Delete(t.Context(), ip, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "claimed again", func() string {
		x, err := ips.Get(t.Context(), ip, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if x.UID == before.UID || x.Spec.ParentRef.Name != "web" || x.Labels["ipaddress.kubernetes.io/managed-by"] != "ipallocator.k8s.io" {
			return fmt.Sprintf("%+v", x)
		}
		return ""
	})
	eventOf(t, s, "default", "web", "ClusterIPNotAllocated")
	// One that looks like the allocator's, and names no Service.
	stray := &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: "10.96.77.77", Labels: map[string]string{"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io", "ipaddress.kubernetes.io/ip-family": "IPv4"}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Group: "example.com", Resource: "gates", Name: "g"}}}
	if _, err := ips.Create(t.Context(), stray, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "a stray claim goes", func() string {
		if _, err := ips.Get(t.Context(), stray.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Sprint("it is there: ", err)
		}
		return ""
	})
	eventOf(t, s, "default", stray.Name, "IPAddressNotAllocated")
	if err := s.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the Service's goes with it", func() string {
		if _, err := ips.Get(t.Context(), ip, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Sprint("it is there: ", err)
		}
		return ""
	})
}
