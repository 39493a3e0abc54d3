package service_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/node/service"
)

// svc is a Service web/default of one port 80/TCP named http, changed by f.
func svc(f func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: corev1.ServiceSpec{
			Type:      corev1.ServiceTypeClusterIP,
			ClusterIP: "10.96.0.20",
			Ports:     []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
	if f != nil {
		f(s)
	}
	return s
}

// eps is an EndpointSlice of web with port http = 8080/TCP. An endpoint is
// written "address node flags": flags r ready, s serving, t terminating, - none.
func eps(list ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, e := range list {
		f := strings.Fields(e)
		ep := discoveryv1.Endpoint{Addresses: []string{f[0]}, NodeName: ptr.To(f[1])}
		if len(f) > 2 {
			has := func(c string) *bool { return ptr.To(strings.Contains(f[2], c)) }
			ep.Conditions = discoveryv1.EndpointConditions{Ready: has("r"), Serving: has("s"), Terminating: has("t")}
		}
		s.Endpoints = append(s.Endpoints, ep)
	}
	return s
}

// got is an lb.Service in short: frontends "addr:port/PROTO" with "!" for
// external scope, backends "addr:port" with "*" for local.
type got struct {
	Key             string
	Fronts          []string
	Backends        []string
	AffinitySeconds int
	Foreign         bool
}

func short(all []lb.Service) []got {
	var out []got
	for _, s := range all {
		g := got{Key: s.Key, AffinitySeconds: int(s.Affinity / time.Second), Foreign: s.Foreign}
		for _, f := range s.Frontends {
			x := f.Addr.String() + "/" + f.Proto.String()
			if f.Scope == lb.External {
				x += "!"
			}
			g.Fronts = append(g.Fronts, x)
		}
		for _, b := range s.Backends {
			x := b.Addr.String()
			if b.Local {
				x += "*"
			}
			g.Backends = append(g.Backends, x)
		}
		out = append(out, g)
	}
	return out
}

const webKey = "default/web:http/TCP"

func TestRules(t *testing.T) {
	vip := []string{"10.96.0.20:80/TCP"}
	two := eps("10.244.1.1 here rs", "10.244.2.1 there rs")
	local := corev1.ServiceExternalTrafficPolicyLocal
	for _, tc := range []struct {
		name   string
		rules  service.Rules
		svc    *corev1.Service
		slices []*discoveryv1.EndpointSlice
		want   []got
	}{
		{name: "no service", svc: nil, slices: []*discoveryv1.EndpointSlice{two}},
		{
			name: "two endpoints", svc: svc(nil), slices: []*discoveryv1.EndpointSlice{two},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.1.1:8080*", "10.244.2.1:8080"}}},
		},
		{name: "no endpoints: refused, not unknown", svc: svc(nil), want: []got{{Key: webKey, Fronts: vip}}},
		{
			name: "absent conditions mean ready", svc: svc(nil), slices: []*discoveryv1.EndpointSlice{eps("10.244.1.1 here")},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.1.1:8080*"}}},
		},
		{
			name: "not ready ones are left out", svc: svc(nil), slices: []*discoveryv1.EndpointSlice{eps("10.244.1.1 here -", "10.244.2.1 there rs")},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.2.1:8080"}}},
		},
		{
			name: "terminating ones are left out while another is ready", svc: svc(nil), slices: []*discoveryv1.EndpointSlice{eps("10.244.1.1 here st", "10.244.2.1 there rs")},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.2.1:8080"}}},
		},
		{
			name: "terminating ones serve if nobody else does", svc: svc(nil), slices: []*discoveryv1.EndpointSlice{eps("10.244.1.1 here st", "10.244.2.1 there t", "10.244.2.2 there -")},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.1.1:8080*"}}},
		},
		{
			name: "one address in two slices", svc: svc(nil), slices: []*discoveryv1.EndpointSlice{eps("10.244.1.1 here -"), eps("10.244.1.1 here rs")},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.1.1:8080*"}}},
		},
		{
			name: "a slice of IPv6, a port of another name, an address that is none", svc: svc(nil),
			slices: []*discoveryv1.EndpointSlice{
				func() *discoveryv1.EndpointSlice {
					s := eps("fd00::1 here")
					s.AddressType = discoveryv1.AddressTypeIPv6
					return s
				}(),
				func() *discoveryv1.EndpointSlice {
					s := eps("10.244.1.9 here")
					s.Ports[0].Name = ptr.To("metrics")
					return s
				}(),
				eps("nonsense here"),
			},
			want: []got{{Key: webKey, Fronts: vip}},
		},
		{name: "headless", svc: svc(func(s *corev1.Service) { s.Spec.ClusterIP = "None" }), slices: []*discoveryv1.EndpointSlice{two}},
		{name: "external name", svc: svc(func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName })},
		{
			name: "another proxy's", slices: []*discoveryv1.EndpointSlice{two},
			svc: svc(func(s *corev1.Service) {
				s.Spec.Type, s.Spec.ExternalIPs = corev1.ServiceTypeNodePort, []string{"192.0.2.80"}
				s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "x"}
			}),
			want: []got{{Key: webKey, Fronts: vip, Foreign: true}},
		},
		{name: "SCTP", svc: svc(func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolSCTP })},
		{
			name: "dual stack: the IPv4 half", svc: svc(func(s *corev1.Service) {
				s.Spec.ClusterIP, s.Spec.ClusterIPs = "fd00::10", []string{"fd00::10", "10.96.0.21"}
			}), slices: []*discoveryv1.EndpointSlice{two},
			want: []got{{Key: webKey, Fronts: []string{"10.96.0.21:80/TCP"}, Backends: []string{"10.244.1.1:8080*", "10.244.2.1:8080"}}},
		},
		{
			name: "affinity", svc: svc(func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }),
			want: []got{{Key: webKey, Fronts: vip, AffinitySeconds: 10800}},
		},
		{
			name: "affinity for a while", svc: svc(func(s *corev1.Service) {
				s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
				s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To(int32(5))}}
			}),
			want: []got{{Key: webKey, Fronts: vip, AffinitySeconds: 5}},
		},
		{
			name: "node port, external address", svc: svc(func(s *corev1.Service) {
				s.Spec.Type, s.Spec.Ports[0].NodePort, s.Spec.ExternalIPs = corev1.ServiceTypeNodePort, 30080, []string{"203.0.113.1"}
			}), slices: []*discoveryv1.EndpointSlice{two},
			want: []got{{Key: webKey, Fronts: []string{"10.96.0.20:80/TCP", "203.0.113.1:80/TCP", "0.0.0.0:30080/TCP"}, Backends: []string{"10.244.1.1:8080*", "10.244.2.1:8080"}}},
		},
		{
			name: "load balancer without node ports; an address of proxy mode", svc: svc(func(s *corev1.Service) {
				s.Spec.Type = corev1.ServiceTypeLoadBalancer
				s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.5"}, {Hostname: "lb"}, {IP: "203.0.113.6", IPMode: ptr.To(corev1.LoadBalancerIPModeProxy)}}
			}), slices: []*discoveryv1.EndpointSlice{two},
			want: []got{{Key: webKey, Fronts: []string{"10.96.0.20:80/TCP", "203.0.113.5:80/TCP"}, Backends: []string{"10.244.1.1:8080*", "10.244.2.1:8080"}}},
		},
		{
			name: "source ranges cannot be kept", svc: svc(func(s *corev1.Service) {
				s.Spec.Type, s.Spec.LoadBalancerSourceRanges = corev1.ServiceTypeLoadBalancer, []string{"192.0.2.0/24"}
				s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.5"}}
			}),
			want: []got{{Key: webKey, Fronts: vip}},
		},
		{
			name: "external traffic policy Local", svc: svc(func(s *corev1.Service) {
				s.Spec.Type, s.Spec.Ports[0].NodePort, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeNodePort, 30080, local
			}), slices: []*discoveryv1.EndpointSlice{two},
			want: []got{
				{Key: webKey, Fronts: []string{"10.96.0.20:80/TCP", "0.0.0.0:30080/TCP"}, Backends: []string{"10.244.1.1:8080*", "10.244.2.1:8080"}},
				{Key: webKey + "/local", Fronts: []string{"0.0.0.0:30080/TCP!"}, Backends: []string{"10.244.1.1:8080*"}},
			},
		},
		{
			name: "external traffic policy Local, only a terminating one here", svc: svc(func(s *corev1.Service) {
				s.Spec.Type, s.Spec.Ports[0].NodePort, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeNodePort, 30080, local
			}), slices: []*discoveryv1.EndpointSlice{eps("10.244.1.1 here st", "10.244.2.1 there rs")},
			want: []got{
				{Key: webKey, Fronts: []string{"10.96.0.20:80/TCP", "0.0.0.0:30080/TCP"}, Backends: []string{"10.244.2.1:8080"}},
				{Key: webKey + "/local", Fronts: []string{"0.0.0.0:30080/TCP!"}, Backends: []string{"10.244.1.1:8080*"}},
			},
		},
		{
			name: "internal traffic policy Local", svc: svc(func(s *corev1.Service) {
				s.Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
			}), slices: []*discoveryv1.EndpointSlice{two},
			want: []got{{Key: webKey + "/local", Fronts: vip, Backends: []string{"10.244.1.1:8080*"}}},
		},
		{
			name: "draining", rules: service.Rules{Draining: map[netip.Addr]bool{netip.MustParseAddr("10.244.1.1"): true}},
			svc: svc(nil), slices: []*discoveryv1.EndpointSlice{two},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.2.1:8080"}}},
		},
		{
			name: "draining, and nobody else", rules: service.Rules{Draining: map[netip.Addr]bool{netip.MustParseAddr("10.244.1.1"): true}},
			svc: svc(nil), slices: []*discoveryv1.EndpointSlice{eps("10.244.1.1 here rs")},
			want: []got{{Key: webKey, Fronts: vip, Backends: []string{"10.244.1.1:8080*"}}},
		},
		{
			name: "reserved", rules: service.Rules{Reserved: map[lb.Frontend]bool{{Addr: netip.MustParseAddrPort("10.96.0.20:80"), Proto: lb.TCP}: true}},
			svc: svc(nil), slices: []*discoveryv1.EndpointSlice{two},
		},
		{
			name: "two ports of one number", svc: svc(func(s *corev1.Service) {
				s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "quic", Port: 80, Protocol: corev1.ProtocolUDP})
			}), slices: []*discoveryv1.EndpointSlice{func() *discoveryv1.EndpointSlice {
				s := eps("10.244.1.1 here rs")
				s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: ptr.To("quic"), Port: ptr.To(int32(8443)), Protocol: ptr.To(corev1.ProtocolUDP)})
				return s
			}()},
			want: []got{
				{Key: webKey, Fronts: vip, Backends: []string{"10.244.1.1:8080*"}},
				{Key: "default/web:quic/UDP", Fronts: []string{"10.96.0.20:80/UDP"}, Backends: []string{"10.244.1.1:8443*"}},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.rules.Node = "here"
			if diff := cmp.Diff(tc.want, short(tc.rules.Services(tc.svc, tc.slices)), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("services (-want +got):\n%s", diff)
			}
		})
	}
}

// Hints count only if every ready endpoint has them and one is for us.
func TestHints(t *testing.T) {
	type hint struct{ zone, node string }
	slice := func(hints ...hint) *discoveryv1.EndpointSlice {
		s := eps()
		for i, h := range hints {
			e := discoveryv1.Endpoint{Addresses: []string{netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}).String()}, Hints: &discoveryv1.EndpointHints{}}
			if h.zone != "" {
				e.Hints.ForZones = []discoveryv1.ForZone{{Name: h.zone}}
			}
			if h.node != "" {
				e.Hints.ForNodes = []discoveryv1.ForNode{{Name: h.node}}
			}
			s.Endpoints = append(s.Endpoints, e)
		}
		return s
	}
	for _, tc := range []struct {
		name  string
		zone  string
		hints []hint
		want  int
	}{
		{"our zone", "a", []hint{{"a", ""}, {"b", ""}, {"a", ""}}, 2},
		{"one without a hint", "a", []hint{{"a", ""}, {"", ""}}, 2},
		{"none for our zone", "c", []hint{{"a", ""}, {"b", ""}}, 2},
		{"we have no zone", "", []hint{{"a", ""}, {"b", ""}}, 2},
		{"our node", "a", []hint{{"a", "here"}, {"a", "there"}, {"b", "there"}}, 1},
		{"none for our node: our zone", "a", []hint{{"a", "x"}, {"a", "there"}, {"b", "there"}}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := service.Rules{Node: "here", Zone: tc.zone}
			out := r.Services(svc(nil), []*discoveryv1.EndpointSlice{slice(tc.hints...)})
			if n := len(out[0].Backends); n != tc.want {
				t.Errorf("%d backends, want %d", n, tc.want)
			}
		})
	}
}
