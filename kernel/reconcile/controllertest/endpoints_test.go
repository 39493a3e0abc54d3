package controllertest_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// endpointsScenario is the life of legacy Endpoints, those of pods and those that
// somebody writes and that are mirrored; in one host.
func endpointsScenario(t *testing.T, h host) {
	c := newCluster(t, h, "endpoints", "endpointslicemirroring", "garbage-collector")
	n := startNodes(t, c, "a")
	n.decide(func(p *corev1.Pod) bool { return p.Name != "slow" })
	of := func(name string) string {
		e := get[corev1.Endpoints](t, c, name)
		if e == nil {
			return "none"
		}
		ready, others, ports := 0, 0, []string{}
		for _, s := range e.Subsets {
			ready, others = ready+len(s.Addresses), others+len(s.NotReadyAddresses)
			for _, p := range s.Ports {
				ports = append(ports, fmt.Sprint(p.Port))
			}
		}
		return fmt.Sprintf("%d ready, %d not, ports %s", ready, others, strings.Join(ports, ","))
	}
	sees := func(what, name, want string) {
		t.Helper()
		eventually(t, what, func() string { return equal("endpoints", of(name), want) })
	}
	mirrored := func(what, want string) {
		t.Helper()
		eventually(t, what, func() string {
			var out []string
			for _, s := range list[discoveryv1.EndpointSlice](t, c, namespace) {
				for _, e := range s.Endpoints {
					out = append(out, fmt.Sprintf("%s of %s by %s", e.Addresses[0], s.Labels[discoveryv1.LabelServiceName], s.Labels[discoveryv1.LabelManagedBy]))
				}
			}
			return equal("slices", strings.Join(out, ", "), want)
		})
	}

	c.mustCreate(t, newService("web", "web"))
	sees("no pods", "web", "0 ready, 0 not, ports ")
	for _, name := range []string{"one", "two", "slow"} {
		template := podTemplate("web")
		c.mustCreate(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: template.Labels}, Spec: template.Spec})
	}
	sees("pods", "web", "2 ready, 1 not, ports 80")
	update(t, c, "web", "", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "nobody"} })
	sees("another selector", "web", "0 ready, 0 not, ports ")
	c.mustDelete(t, newService("web", "web"), "")
	sees("no service", "web", "none")

	service := newService("db", "")
	service.Spec.Selector = nil
	c.mustCreate(t, service)
	c.mustCreate(t, &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Subsets: []corev1.EndpointSubset{{
		Addresses: []corev1.EndpointAddress{{IP: "192.0.2.1"}}, Ports: []corev1.EndpointPort{{Port: 5432}}}}})
	mirrored("by hand", "192.0.2.1 of db by endpointslicemirroring-controller.k8s.io")
	update(t, c, "db", "", func(e *corev1.Endpoints) { e.Subsets[0].Addresses[0].IP = "192.0.2.2" })
	mirrored("changed", "192.0.2.2 of db by endpointslicemirroring-controller.k8s.io")
	c.mustDelete(t, &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "db"}}, "")
	mirrored("gone", "")
}
