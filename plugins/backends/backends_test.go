package backends_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func service(name string, selector map[string]string, change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{Spec: corev1.ServiceSpec{Selector: selector}}
	s.Namespace, s.Name = "default", name
	if change != nil {
		change(s)
	}
	return s
}

// A set of labels stands for the Services that select it, and whose endpoints are pods.
func TestSelecting(t *testing.T) {
	web := map[string]string{"app": "web"}
	s, err := sdktest.NewStore(
		service("web", web, nil), service("narrow", map[string]string{"app": "web", "tier": "front"}, nil), service("other", map[string]string{"app": "other"}, nil),
		service("none", nil, nil), service("external", web, func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }),
		service("elsewhere", web, func(s *corev1.Service) { s.Namespace = "elsewhere" }))
	if err != nil {
		t.Fatal(err)
	}
	got, err := backends.Selecting(s.Client(), "default", map[string]string{"app": "web", "pod": "a"})
	if err != nil || len(got.Enqueue) != 1 || got.Enqueue[0].Name != "web" {
		t.Errorf("requests %v, %v; want that of web", got.Enqueue, err)
	}
}

func TestPod(t *testing.T) {
	always, at := corev1.ContainerRestartPolicyAlways, metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	p := &backends.Pod{}
	p.Spec.Hostname, p.Spec.Subdomain = "a", "web"
	p.Spec.Containers = []backends.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}}}}
	p.Spec.InitContainers = []backends.Container{{Ports: []corev1.ContainerPort{{Name: "early", ContainerPort: 1}}},
		{RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "proxy", ContainerPort: 2}}}}
	p.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}}
	p.Status.Conditions = []backends.Condition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at}}
	port := func(target intstr.IntOrString, protocol corev1.Protocol) string {
		n, ok := p.Port(corev1.ServicePort{Port: 80, TargetPort: target, Protocol: protocol})
		return fmt.Sprint(n, ok)
	}
	got := []string{port(intstr.IntOrString{}, "TCP"), port(intstr.FromInt(81), "TCP"), port(intstr.FromString("http"), "TCP"), port(intstr.FromString("http"), "UDP"),
		port(intstr.FromString("dns"), "UDP"), port(intstr.FromString("proxy"), ""), port(intstr.FromString("early"), ""),
		p.Address(corev1.IPv4Protocol), p.Address(corev1.IPv6Protocol), p.Hostname("web"), p.Hostname("other"), fmt.Sprint(p.Ready(), p.Finished(), p.ReadinessChanged().Equal(at.Time()))}
	want := []string{"80 true", "81 true", "8080 true", "0 false", "53 true", "2 true", "0 false", "10.0.0.1", "fd00::1", "a", "", "true false true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
