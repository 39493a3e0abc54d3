package externalip_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth/externalip"
)

// objects is a reader of few.
type objects map[string][]runtime.Object

func (objects) Get(context.Context, schema.GroupResource, string, string) (runtime.Object, error) {
	return nil, errors.New("not asked for")
}

func (o objects) List(_ context.Context, gr schema.GroupResource, _ string) ([]runtime.Object, error) {
	all, ok := o[gr.Resource]
	if !ok {
		return nil, errors.New("unavailable")
	}
	return all, nil
}

func service(namespace string, port int32, ips ...string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "s"},
		Spec: corev1.ServiceSpec{ExternalIPs: ips, Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: port}}}}
}

func attributes(svc, old *corev1.Service) *admission.Attributes {
	a := &admission.Attributes{Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("services"), Object: svc}
	if old != nil {
		a.Operation, a.Old = admission.Update, old
	}
	return a
}

// Who may make a Service must not so become the address of something else.
func TestValidate(t *testing.T) {
	node := &corev1.Node{}
	node.Spec.PodCIDR = "10.99.1.0/24"
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: "192.0.2.10"}}
	balanced := service("other", 80)
	balanced.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.7"}}
	reader := objects{"nodes": {node}, "services": {balanced, service("other", 80, "198.51.100.8")}}
	config := externalip.Config{Services: netip.MustParsePrefix("10.96.0.0/16"), Pods: netip.MustParsePrefix("10.244.0.0/16"),
		Servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	for name, tc := range map[string]struct {
		mode externalip.Mode
		svc  *corev1.Service
		old  *corev1.Service
		want string // "" when it is allowed
	}{
		"none":                          {"", service("a", 80), nil, ""},
		"somebody's outside":            {"", service("a", 80, "203.0.113.1"), nil, ""},
		"a node's":                      {"", service("a", 80, "192.0.2.10"), nil, "belongs to a node"},
		"a node's, written otherwise":   {"", service("a", 80, "::ffff:192.0.2.10"), nil, "belongs to a node"},
		"the second of two":             {"", service("a", 80, "203.0.113.1", "192.0.2.10"), nil, "spec.externalIPs[1]"},
		"the API server's":              {"", service("a", 80, "192.0.2.1"), nil, "API server"},
		"a Service's":                   {"", service("a", 80, "10.96.0.1"), nil, "range of Services"},
		"a pod's":                       {"", service("a", 80, "10.244.3.4"), nil, "range of pods"},
		"a pod's, by its node's range":  {"", service("a", 80, "10.99.1.4"), nil, "range of pods"},
		"a load balancer's":             {"", service("a", 443, "198.51.100.7"), nil, "another Service's"},
		"another namespace's":           {"", service("a", 80, "198.51.100.8"), nil, "another namespace"},
		"another namespace's, its port": {"", service("a", 81, "198.51.100.8"), nil, ""},
		"of the same namespace":         {"", service("other", 80, "198.51.100.8"), nil, ""},
		"kept":                          {"", service("a", 80, "192.0.2.10"), service("a", 80, "192.0.2.10"), ""},
		"added":                         {"", service("a", 80, "192.0.2.10", "10.96.0.1"), service("a", 80, "192.0.2.10"), "range of Services"},
		"kept, with another's port":     {"", service("a", 80, "198.51.100.8"), service("a", 81, "198.51.100.8"), "another namespace"},
		"kept, with a port of nobody's": {"", service("a", 82, "198.51.100.8"), service("a", 81, "198.51.100.8"), ""},
		"denied":                        {externalip.Deny, service("a", 80, "203.0.113.1"), nil, "allows none"},
		"denied, kept":                  {externalip.Deny, service("a", 80, "203.0.113.1"), service("a", 80, "203.0.113.1"), ""},
		"allowed":                       {externalip.Allow, service("a", 80, "192.0.2.10"), nil, ""},
	} {
		config.Mode = tc.mode
		err := (&externalip.Rule{Config: config, Reader: reader}).Validate(t.Context(), attributes(tc.svc, tc.old))
		if (err == nil) != (tc.want == "") || err != nil && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want an error about %q", name, err, tc.want)
		}
	}
	config.Mode = externalip.Allow
	if err := (&externalip.Rule{Config: config, Reader: objects{}}).Validate(t.Context(), attributes(service("a", 80, "203.0.113.1"), nil)); err != nil {
		t.Errorf("allowed without a reader: %v", err)
	}
	config.Mode = externalip.Safe
	if err := (&externalip.Rule{Config: config, Reader: objects{}}).Validate(t.Context(), attributes(service("a", 80, "203.0.113.1"), nil)); err == nil {
		t.Error("what cannot be looked up is allowed")
	}
	deletion := &admission.Attributes{Operation: admission.Delete, Resource: corev1.SchemeGroupVersion.WithResource("services"), Old: service("a", 80, "192.0.2.10")}
	if err := (&externalip.Rule{Config: config, Reader: reader}).Validate(t.Context(), deletion); err != nil {
		t.Errorf("a deletion: %v", err)
	}
}
