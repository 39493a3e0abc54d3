package kinds_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// endpointsOf writes Endpoints as "10.0.0.1 -10.0.0.2 8080"; "none" is that there are none.
func (s *shop) endpointsOf(t *testing.T, name string) string {
	t.Helper()
	e, err := s.CoreV1().Endpoints("default").Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, x := range e.Subsets {
		for _, a := range x.Addresses {
			out = append(out, a.IP)
		}
		for _, a := range x.NotReadyAddresses {
			out = append(out, "-"+a.IP)
		}
		for _, p := range x.Ports {
			out = append(out, fmt.Sprint(p.Port))
		}
	}
	return strings.Join(out, " ")
}

// slicesOf writes the slices of a Service that somebody manages in the same way.
func (s *shop) slicesOf(t *testing.T, name, managedBy string) string {
	t.Helper()
	l, err := s.DiscoveryV1().EndpointSlices("default").List(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name + "," + discoveryv1.LabelManagedBy + "=" + managedBy})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, x := range l.Items {
		for _, e := range x.Endpoints {
			out = append(out, e.Addresses[0])
		}
		for _, p := range x.Ports {
			out = append(out, fmt.Sprint(*p.Port))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// at gives a pod an address, as the node's agent would.
func (s *shop) at(t *testing.T, pod, ip string, ready corev1.ConditionStatus) {
	t.Helper()
	until(t, pod+" has an address", func() bool {
		p, err := s.CoreV1().Pods("default").Get(t.Context(), pod, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()}}
		_, err = s.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
		return err == nil
	})
}

// TestEndpoints is what upstream's conformance tests ask of legacy Endpoints
// (test/e2e/network/endpoints_controller.go, apiserver.go, endpointslicemirroring.go).
func TestEndpoints(t *testing.T) {
	s := newControlled(t, "endpoints", "endpointslicemirroring", "garbage-collector")
	t.Run("of pods", func(t *testing.T) { testEndpointsOfPods(t, s) })
	t.Run("by hand", func(t *testing.T) { testMirroring(t, s) })
	t.Run("of the API server", func(t *testing.T) {
		// "should have Endpoints and EndpointSlices pointing to API Server"
		until(t, "endpoints", func() bool { return s.endpointsOf(t, "kubernetes") == "192.0.2.9 6443" })
		if got := s.slicesOf(t, "kubernetes", "endpointslicemirroring-controller.k8s.io"); got != "" {
			t.Errorf("they are mirrored: %s", got)
		}
	})
}

// "should create Endpoints for Pods matching a Service" and "should create and delete
// Endpoints for a Service with a selector that matches no pods".
func testEndpointsOfPods(t *testing.T, s *shop) {
	ctx := t.Context()
	if _, err := s.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"of": "web"}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sees := func(what, want string) {
		t.Helper()
		got := ""
		defer func() {
			if t.Failed() {
				t.Logf("%s: endpoints %q, want %q", what, got, want)
			}
		}()
		until(t, what, func() bool { got = s.endpointsOf(t, "web"); return got == want })
	}
	sees("no pods", "")
	for _, name := range []string{"a", "b"} {
		if _, err := s.CoreV1().Pods("default").Create(ctx, aPod(name, func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} }), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s.at(t, "a", "10.1.0.1", corev1.ConditionTrue)
	s.at(t, "b", "10.1.0.2", corev1.ConditionFalse)
	sees("one is ready", "10.1.0.1 -10.1.0.2 8080")
	e, err := s.CoreV1().Endpoints("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil || e.Labels["of"] != "web" || e.Labels["endpoints.kubernetes.io/managed-by"] != "endpoint-controller" || e.Annotations[corev1.EndpointsLastChangeTriggerTime] == "" {
		t.Errorf("labels %v, annotations %v, %v", e.Labels, e.Annotations, err)
	}
	s.at(t, "b", "10.1.0.2", corev1.ConditionTrue)
	sees("both are ready", "10.1.0.1 10.1.0.2 8080")
	if err := s.CoreV1().Pods("default").Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("one went", "10.1.0.2 8080")
	if err := s.CoreV1().Endpoints("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("made again", "10.1.0.2 8080")
	if got := s.slicesOf(t, "web", "endpointslicemirroring-controller.k8s.io"); got != "" {
		t.Errorf("they are mirrored: %s", got)
	}
	if err := s.CoreV1().Services("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("the service went", "none")
}

// "should mirror a custom Endpoints resource through create update and delete".
func testMirroring(t *testing.T, s *shop) {
	ctx := t.Context()
	if _, err := s.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "custom"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sees := func(what, want string) {
		t.Helper()
		until(t, what+" ("+want+")", func() bool { return s.slicesOf(t, "custom", "endpointslicemirroring-controller.k8s.io") == want })
	}
	e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "custom"}, Subsets: []corev1.EndpointSubset{{
		Addresses: []corev1.EndpointAddress{{IP: "10.2.0.1"}}, Ports: []corev1.EndpointPort{{Port: 80}}}}}
	if _, err := s.CoreV1().Endpoints("default").Create(ctx, e, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("mirrored", "10.2.0.1 80")
	e.Subsets[0].Addresses[0].IP, e.Subsets[0].Ports[0].Port = "10.2.0.2", 81
	if _, err := s.CoreV1().Endpoints("default").Update(ctx, e, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("changed", "10.2.0.2 81")
	if got := s.endpointsOf(t, "custom"); got != "10.2.0.2 81" {
		t.Errorf("endpoints by hand are %q", got)
	}
	selector := `{"spec":{"selector":{"app":"nobody"}}}`
	if _, err := s.CoreV1().Services("default").Patch(ctx, "custom", types.MergePatchType, []byte(selector), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("the service selects", "")
	if _, err := s.CoreV1().Services("default").Patch(ctx, "custom", types.MergePatchType, []byte(`{"spec":{"selector":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "by hand again", func() bool {
		_, err := s.CoreV1().Endpoints("default").Update(ctx, e, metav1.UpdateOptions{})
		return err == nil
	})
	sees("mirrored again", "10.2.0.2 81")
	if err := s.CoreV1().Endpoints("default").Delete(ctx, "custom", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("gone", "")
}
