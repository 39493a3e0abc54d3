package podspec_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pintle-io/pintle/node/podspec"
)

func TestServicePorts(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Labels: map[string]string{"app": "web", "tier": "front"}}}
	pod.Spec.Containers = []corev1.Container{{Name: "a", Ports: []corev1.ContainerPort{
		{Name: "dns", ContainerPort: 53, Protocol: "UDP"}, {Name: "http", ContainerPort: 8080, Protocol: "TCP"}}}}
	always := corev1.ContainerRestartPolicyAlways
	pod.Spec.InitContainers = []corev1.Container{{Name: "i", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 9001}, {Name: "once", ContainerPort: 9002}}},
		{Name: "s", RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 9003}, {Name: "metrics", ContainerPort: 9004}}}}
	service := func(namespace string, selector map[string]string, ports ...corev1.ServicePort) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: corev1.ServiceSpec{Selector: selector, Ports: ports}}
	}
	web := map[string]string{"app": "web"}
	number, name := intstr.FromInt32, intstr.FromString
	external := service("ns", web, corev1.ServicePort{Port: 80})
	external.Spec.Type = corev1.ServiceTypeExternalName
	for what, c := range map[string]struct {
		services []*corev1.Service
		want     []uint16
	}{
		"none":                 {},
		"number":               {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80, TargetPort: number(9000)})}, []uint16{9000}},
		"name":                 {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80, Protocol: "TCP", TargetPort: name("http")})}, []uint16{8080}},
		"of a sidecar":         {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80, TargetPort: name("metrics")})}, []uint16{9004}},
		"of an init container": {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80, TargetPort: name("once")})}, nil},
		"unknown name":         {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80, TargetPort: name("grpc")})}, nil},
		"name of UDP port":     {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80, TargetPort: name("dns")})}, nil},
		"the port itself":      {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80})}, []uint16{80}},
		"UDP":                  {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 80, Protocol: "UDP"})}, nil},
		"other namespace":      {[]*corev1.Service{service("other", web, corev1.ServicePort{Port: 80})}, nil},
		"other pods":           {[]*corev1.Service{service("ns", map[string]string{"app": "db"}, corev1.ServicePort{Port: 80})}, nil},
		"no selector":          {[]*corev1.Service{service("ns", nil, corev1.ServicePort{Port: 80})}, nil},
		"external name":        {[]*corev1.Service{external}, nil},
		"several": {[]*corev1.Service{service("ns", web, corev1.ServicePort{Port: 443}, corev1.ServicePort{Port: 80, TargetPort: name("http")}),
			service("ns", web, corev1.ServicePort{Port: 8080})}, []uint16{443, 8080}},
	} {
		if got := podspec.ServicePorts(pod, c.services); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", what, got, c.want)
		}
	}
}
