package core_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func fromString(s string) intstr.IntOrString { return intstr.FromString(s) }

func address(t testing.TB, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var (
	servicesGR = schema.GroupResource{Resource: "services"}
	addressGR  = schema.GroupResource{Group: "networking.k8s.io", Resource: "ipaddresses"}
	cidrGR     = schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}
	rangeGR    = schema.GroupResource{Resource: "rangeallocations"}
)

// shop writes Services through their hooks, as the kernel does.
type shop struct {
	t     testing.TB
	d     *resource.Definition
	cache kindtest.Cache
}

func newShop(t testing.TB, o kinds.Options) *shop {
	t.Helper()
	tab, err := kinds.Table(o)
	if err != nil {
		t.Fatal(err)
	}
	return &shop{t: t, d: tab.Lookup(servicesGR), cache: kindtest.Cache{}}
}

func (s *shop) create(svc *corev1.Service) error {
	s.t.Helper()
	if errs := kindtest.Create(s.t, s.d, svc); len(errs) > 0 {
		return errs.ToAggregate()
	}
	companions, err := s.d.Strategy.Companions(s.t.Context(), s.cache, svc, nil)
	if err != nil {
		return err
	}
	s.cache.Apply(s.t, companions)
	s.cache.Put(servicesGR, svc)
	return nil
}

func (s *shop) update(old *corev1.Service, edit func(*corev1.Service)) (*corev1.Service, error) {
	s.t.Helper()
	svc := old.DeepCopy()
	edit(svc)
	if errs := kindtest.Update(s.t, s.d, svc, old); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	before := old.DeepCopy()
	companions, err := s.d.Strategy.Companions(s.t.Context(), s.cache, svc, old)
	if err != nil {
		return nil, err
	}
	kindtest.Unchanged(s.t, before, old)
	s.cache.Apply(s.t, companions)
	s.cache.Put(servicesGR, svc)
	return svc, nil
}

func (s *shop) delete(svc *corev1.Service) {
	s.t.Helper()
	companions, err := s.d.Strategy.Companions(s.t.Context(), s.cache, nil, svc)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cache.Apply(s.t, companions)
	delete(s.cache[servicesGR], svc.Namespace+"/"+svc.Name)
}

// held are the names of the addresses and ports that are claimed.
func (s *shop) held() (out []string) {
	for _, gr := range []schema.GroupResource{addressGR, rangeGR} {
		for key := range s.cache[gr] {
			out = append(out, strings.TrimPrefix(key, "/"))
		}
	}
	slices.Sort(out)
	return out
}

func ofType(t corev1.ServiceType) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.Type = t }
}

func withNodePort(p int32) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeNodePort
		s.Spec.Ports[0].NodePort = p
	}
}

func TestServiceGetsAnAddress(t *testing.T) {
	s := newShop(t, kinds.Options{})
	svc := kindtest.NewService("a")
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	ip := svc.Spec.ClusterIP
	if !kindtest.Prefixes("10.96.0.0/16")[0].Contains(address(t, ip)) || !slices.Equal(svc.Spec.ClusterIPs, []string{ip}) {
		t.Errorf("addresses %q, %q", ip, svc.Spec.ClusterIPs)
	}
	got := []any{svc.Spec.Type, svc.Spec.IPFamilies, *svc.Spec.IPFamilyPolicy, svc.Spec.SessionAffinity, *svc.Spec.InternalTrafficPolicy, svc.Spec.Ports[0].Protocol, svc.Spec.Ports[0].TargetPort.IntVal}
	want := []any{corev1.ServiceTypeClusterIP, []corev1.IPFamily{"IPv4"}, corev1.IPFamilyPolicySingleStack, corev1.ServiceAffinityNone, corev1.ServiceInternalTrafficPolicyCluster, corev1.ProtocolTCP, int32(80)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	claim := s.cache[addressGR]["/"+ip].(*networkingv1.IPAddress)
	want2 := &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: ip, ResourceVersion: "1", Labels: map[string]string{
			"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: "ns", Name: "a"}},
	}
	if diff := cmp.Diff(want2, claim); diff != "" {
		t.Errorf("IPAddress (-want +got):\n%s", diff)
	}
	// Upstream accepts the object that it would have made itself.
	if errs := kindtest.Create(t, kindtest.Definition(t, addressGR.String()), claim.DeepCopy()); len(errs) > 0 {
		t.Error(errs)
	}
	s.delete(svc)
	if held := s.held(); len(held) > 0 {
		t.Errorf("after deletion %q are held", held)
	}
}

func TestAddressesAreUniqueUntilTheRangeIsFull(t *testing.T) {
	s := newShop(t, kinds.Options{ServiceCIDRs: kindtest.Prefixes("10.0.0.0/27")})
	seen := map[string]bool{}
	for i := range 30 { // 32 without network and broadcast
		svc := kindtest.NewService(fmt.Sprintf("s%d", i))
		if err := s.create(svc); err != nil {
			t.Fatalf("service %d: %v", i, err)
		}
		if ip := svc.Spec.ClusterIP; seen[ip] || ip == "10.0.0.0" || ip == "10.0.0.31" {
			t.Errorf("service %d got %s", i, ip)
		} else {
			seen[ip] = true
			// The lower sixteen are given out last.
			if low := address(t, ip).As4()[3] <= 16; low != (i >= 14) {
				t.Errorf("service %d got %s", i, ip)
			}
		}
	}
	err := s.create(kindtest.NewService("more"))
	if want := `failed to allocate a serviceIP for Service "more": range is full`; !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("full range: %v", err)
	}
}

func TestAddressesThatAreAskedFor(t *testing.T) {
	s := newShop(t, kinds.Options{})
	if err := s.create(kindtest.NewService("a", kindtest.WithIP("10.96.0.10"))); err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{
		"10.96.0.10":    `spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated`,
		"10.1.2.3":      `failed to allocate IP 10.1.2.3: the provided network does not match the current range`,
		"10.96.0.0":     `failed to allocate IP 10.96.0.0: the provided network does not match the current range`,
		"10.96.255.255": `the provided network does not match the current range`,
		"fd00::1":       `spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster`,
		"nonsense":      `spec.clusterIPs[0]: Invalid value: "nonsense"`,
	} {
		if err := s.create(kindtest.NewService("b", kindtest.WithIP(ip))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", ip, err, want)
		}
	}
	s.cache.Put(cidrGR, &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.1.0.0/16"}},
		Status: networkingv1.ServiceCIDRStatus{Conditions: []metav1.Condition{{Type: "Ready", Status: "True"}}}})
	if err := s.create(kindtest.NewService("b", kindtest.WithIP("10.1.2.3"))); err != nil {
		t.Errorf("an address of a ServiceCIDR object: %v", err)
	}
}

// TestRangesOfServiceCIDRs: an address is taken from a ServiceCIDR when it is ready,
// and from a range of the configuration as long as its ServiceCIDRs do not forbid it.
func TestRangesOfServiceCIDRs(t *testing.T) {
	const own, more = "10.96.0.0/16", "10.1.0.0/16"
	cidr := func(name, prefix, ready string) *networkingv1.ServiceCIDR {
		c := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{prefix}}}
		if ready != "" {
			c.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionStatus(ready)}}
		}
		return c
	}
	going := func(c *networkingv1.ServiceCIDR) *networkingv1.ServiceCIDR {
		c.DeletionTimestamp = &metav1.Time{}
		return c
	}
	for name, tt := range map[string]struct {
		cidrs     []*networkingv1.ServiceCIDR
		own, more bool
	}{
		"none":                    {nil, true, false},
		"not looked at":           {[]*networkingv1.ServiceCIDR{cidr("a", own, ""), cidr("b", more, "")}, true, false},
		"not known":               {[]*networkingv1.ServiceCIDR{cidr("a", own, "Unknown"), cidr("b", more, "Unknown")}, true, false},
		"ready":                   {[]*networkingv1.ServiceCIDR{cidr("a", own, "True"), cidr("b", more, "True")}, true, true},
		"not ready":               {[]*networkingv1.ServiceCIDR{cidr("a", own, "False"), cidr("b", more, "False")}, false, false},
		"going":                   {[]*networkingv1.ServiceCIDR{going(cidr("a", own, "True")), going(cidr("b", more, "True"))}, false, false},
		"going, another is ready": {[]*networkingv1.ServiceCIDR{cidr("a", own, "True"), going(cidr("b", own, "True")), going(cidr("c", more, "True")), cidr("d", more, "True")}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, kinds.Options{ServiceCIDRs: kindtest.Prefixes(own)})
			for _, c := range tt.cidrs {
				s.cache.Put(cidrGR, c)
			}
			for ip, want := range map[string]bool{"10.96.1.1": tt.own, "10.1.1.1": tt.more} {
				if err := s.create(kindtest.NewService("s"+strings.ReplaceAll(ip, ".", "-"), kindtest.WithIP(ip))); (err == nil) != want {
					t.Errorf("%s: %v, want it given: %v", ip, err, want)
				}
			}
			err := s.create(kindtest.NewService("any"))
			if want := tt.own || tt.more; (err == nil) != want {
				t.Errorf("any address: %v, want one: %v", err, want)
			}
		})
	}
}

func TestServiceAddressIsKeptAndImmutable(t *testing.T) {
	s := newShop(t, kinds.Options{})
	svc := kindtest.NewService("a")
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	ip := svc.Spec.ClusterIP
	again, err := s.update(svc, func(x *corev1.Service) {
		x.Spec.ClusterIP, x.Spec.ClusterIPs, x.Spec.IPFamilies, x.Spec.IPFamilyPolicy = "", nil, nil, nil
		x.Labels = map[string]string{"a": "b"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if again.Spec.ClusterIP != ip || !slices.Equal(again.Spec.IPFamilies, svc.Spec.IPFamilies) {
		t.Errorf("an update that names no address got %q of %q, want %q", again.Spec.ClusterIP, again.Spec.IPFamilies, ip)
	}
	if _, err := s.update(svc, func(x *corev1.Service) { x.Spec.ClusterIP = "10.96.0.99" }); err == nil || !strings.Contains(err.Error(), "may not change once set") {
		t.Errorf("changing the address: %v", err)
	}
}

func TestServiceChangesType(t *testing.T) {
	s := newShop(t, kinds.Options{})
	svc := kindtest.NewService("a", withNodePort(30080))
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	ip := svc.Spec.ClusterIP
	if diff := cmp.Diff([]string{ip, "nodeport-30080"}, s.held()); diff != "" {
		t.Fatalf("node port (-want +got):\n%s", diff)
	}
	plain, err := s.update(svc, ofType(corev1.ServiceTypeClusterIP))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{ip}, s.held()); diff != "" || plain.Spec.Ports[0].NodePort != 0 {
		t.Errorf("cluster IP, node port %d (-want +got):\n%s", plain.Spec.Ports[0].NodePort, diff)
	}
	external, err := s.update(plain, func(x *corev1.Service) {
		x.Spec.Type, x.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
		x.Spec.InternalTrafficPolicy = nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if held := s.held(); len(held) > 0 || external.Spec.ClusterIP != "" || external.Spec.IPFamilies != nil || external.Spec.IPFamilyPolicy != nil {
		t.Errorf("external name holds %q: %+v", held, external.Spec)
	}
	back, err := s.update(external, func(x *corev1.Service) { x.Spec.Type, x.Spec.ExternalName = corev1.ServiceTypeClusterIP, "" })
	if err != nil {
		t.Fatal(err)
	}
	if back.Spec.ClusterIP == "" || len(s.held()) != 1 {
		t.Errorf("back as cluster IP: %+v, held %q", back.Spec, s.held())
	}
}

func TestHeadless(t *testing.T) {
	s := newShop(t, kinds.Options{})
	svc := kindtest.NewService("a", kindtest.WithIP("None"))
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	if len(s.held()) > 0 || !slices.Equal(svc.Spec.ClusterIPs, []string{"None"}) || !slices.Equal(svc.Spec.IPFamilies, []corev1.IPFamily{"IPv4"}) {
		t.Errorf("headless: %+v holds %q", svc.Spec, s.held())
	}
	bare := kindtest.NewService("b", kindtest.WithIP("None"), func(x *corev1.Service) { x.Spec.Selector = nil })
	if err := s.create(bare); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(bare.Spec.IPFamilies, []corev1.IPFamily{"IPv4", "IPv6"}) || *bare.Spec.IPFamilyPolicy != corev1.IPFamilyPolicyRequireDualStack {
		t.Errorf("headless without selector: %+v", bare.Spec)
	}
}

func TestDualStack(t *testing.T) {
	s := newShop(t, kinds.Options{ServiceCIDRs: kindtest.Prefixes("10.96.0.0/16", "fd00:10:96::/112")})
	policy := func(p corev1.IPFamilyPolicy) func(*corev1.Service) {
		return func(x *corev1.Service) { x.Spec.IPFamilyPolicy = &p }
	}
	svc := kindtest.NewService("a", policy(corev1.IPFamilyPolicyPreferDualStack))
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	if len(svc.Spec.ClusterIPs) != 2 || len(s.held()) != 2 || !address(t, svc.Spec.ClusterIPs[1]).Is6() {
		t.Fatalf("dual stack: %q", svc.Spec.ClusterIPs)
	}
	single, err := s.update(svc, policy(corev1.IPFamilyPolicySingleStack))
	if err != nil {
		t.Fatal(err)
	}
	if len(single.Spec.ClusterIPs) != 1 || len(single.Spec.IPFamilies) != 1 || len(s.held()) != 1 {
		t.Errorf("single stack: %+v, held %q", single.Spec, s.held())
	}
	dual, err := s.update(single, policy(corev1.IPFamilyPolicyRequireDualStack))
	if err != nil {
		t.Fatal(err)
	}
	if len(dual.Spec.ClusterIPs) != 2 || len(s.held()) != 2 || dual.Spec.ClusterIP != svc.Spec.ClusterIP {
		t.Errorf("dual again: %+v, held %q", dual.Spec, s.held())
	}
	one := newShop(t, kinds.Options{})
	err = one.create(kindtest.NewService("a", policy(corev1.IPFamilyPolicyRequireDualStack)))
	if err == nil || !strings.Contains(err.Error(), "this cluster is not configured for dual-stack services") {
		t.Errorf("dual stack on a single-stack cluster: %v", err)
	}
}

func TestNodePorts(t *testing.T) {
	s := newShop(t, kinds.Options{NodePorts: kindtest.Ports(30000, 4)})
	a := kindtest.NewService("a", withNodePort(30001), func(x *corev1.Service) {
		x.Spec.Ports = append(x.Spec.Ports, corev1.ServicePort{Name: "http-udp", Port: 80, Protocol: corev1.ProtocolUDP}, corev1.ServicePort{Name: "other", Port: 81})
	})
	if err := s.create(a); err != nil {
		t.Fatal(err)
	}
	p := a.Spec.Ports
	if p[0].NodePort != 30001 || p[1].NodePort != 30001 || p[2].NodePort == 30001 || p[2].NodePort < 30000 || p[2].NodePort > 30003 {
		t.Errorf("node ports %d %d %d", p[0].NodePort, p[1].NodePort, p[2].NodePort)
	}
	for port, want := range map[int32]string{
		30001: `spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated`,
		40000: `spec.ports[0].nodePort: Invalid value: 40000: provided port is not in the valid range. The range of valid ports is 30000-30003`,
	} {
		if err := s.create(kindtest.NewService("b", withNodePort(port))); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("port %d: %v", port, err)
		}
	}
	for i := range 2 {
		if err := s.create(kindtest.NewService(fmt.Sprintf("c%d", i), withNodePort(0))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.create(kindtest.NewService("d", withNodePort(0))); err == nil || !strings.Contains(err.Error(), "failed to allocate a nodePort: range is full") {
		t.Errorf("full range: %v", err)
	}
	// A client that leaves the node ports out keeps them.
	again, err := s.update(a, func(x *corev1.Service) {
		for i := range x.Spec.Ports {
			x.Spec.Ports[i].NodePort = 0
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.Spec.Ports, again.Spec.Ports); diff != "" {
		t.Errorf("ports (-before +after):\n%s", diff)
	}
	s.delete(again)
	if err := s.create(kindtest.NewService("d", withNodePort(30001))); err != nil {
		t.Errorf("a port that was released: %v", err)
	}
}

// Another API server knows nothing of our claims: a port that a Service uses
// without one is taken, and a claim that no Service uses is not.
func TestNodePortsOfOtherServers(t *testing.T) {
	s := newShop(t, kinds.Options{NodePorts: kindtest.Ports(30000, 2)})
	foreign := kindtest.NewService("foreign", withNodePort(30000))
	s.cache.Put(servicesGR, foreign)
	stale := &corev1.RangeAllocation{ObjectMeta: metav1.ObjectMeta{Name: "nodeport-30001", ResourceVersion: "3", Annotations: map[string]string{"pintle.dev/service": "ns/gone"}}}
	s.cache.Put(rangeGR, stale)
	svc := kindtest.NewService("a", withNodePort(0))
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	if got := svc.Spec.Ports[0].NodePort; got != 30001 {
		t.Errorf("node port %d, want 30001", got)
	}
}

func TestHealthCheckNodePort(t *testing.T) {
	s := newShop(t, kinds.Options{})
	local := func(x *corev1.Service) {
		x.Spec.Type, x.Spec.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal
		x.Spec.AllocateLoadBalancerNodePorts = ptr.To(false)
	}
	svc := kindtest.NewService("a", local)
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	if svc.Spec.HealthCheckNodePort == 0 || svc.Spec.Ports[0].NodePort != 0 || len(s.held()) != 2 {
		t.Fatalf("health port %d, node port %d, held %q", svc.Spec.HealthCheckNodePort, svc.Spec.Ports[0].NodePort, s.held())
	}
	cluster, err := s.update(svc, func(x *corev1.Service) { x.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster })
	if err != nil {
		t.Fatal(err)
	}
	if cluster.Spec.HealthCheckNodePort != 0 || len(s.held()) != 1 {
		t.Errorf("health port %d, held %q", cluster.Spec.HealthCheckNodePort, s.held())
	}
}

func TestStatusIsNotTheClients(t *testing.T) {
	s := newShop(t, kinds.Options{})
	ingress := corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1", IPMode: ptr.To(corev1.LoadBalancerIPModeVIP)}}}}
	svc := kindtest.NewService("a", ofType(corev1.ServiceTypeLoadBalancer), func(x *corev1.Service) { x.Status = ingress })
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	if len(svc.Status.LoadBalancer.Ingress) > 0 {
		t.Error("a new service kept its status")
	}
	up := svc.DeepCopy()
	up.Status = ingress
	if errs := kindtest.UpdateSub(t, s.d, "status", up, svc); len(errs) > 0 || len(up.Status.LoadBalancer.Ingress) != 1 {
		t.Errorf("status update: %v, %+v", errs, up.Status)
	}
	s.cache.Put(servicesGR, up)
	down, err := s.update(up, ofType(corev1.ServiceTypeClusterIP))
	if err != nil {
		t.Fatal(err)
	}
	if len(down.Status.LoadBalancer.Ingress) > 0 {
		t.Error("a service that is no load balancer any more kept its ingress")
	}
}

// plain is the scheme of a path that names none.
func plain(scheme string) string {
	if scheme == "" {
		return "http"
	}
	return scheme
}

func TestServiceProxy(t *testing.T) {
	c := kindtest.Cache{}
	c.Put(schema.GroupResource{Resource: "pods"}, kindtest.NewPod(func(p *corev1.Pod) { p.Status.PodIPs = []corev1.PodIP{{IP: "10.244.1.5"}} }))
	slice := func(edit func(*discoveryv1.Endpoint)) *discoveryv1.EndpointSlice {
		e := discoveryv1.Endpoint{Addresses: []string{"10.244.1.5"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "p"}}
		edit(&e)
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "ns", Labels: map[string]string{"kubernetes.io/service-name": "a"}},
			Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}}, Endpoints: []discoveryv1.Endpoint{e}}
	}
	slices := schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"}
	connect := kindtest.Definition(t, "services").Subresource("proxy").Connect
	for name, tc := range map[string]struct {
		port    string
		edit    func(*discoveryv1.Endpoint)
		wantErr string
	}{
		"by name":       {"http", func(*discoveryv1.Endpoint) {}, ""},
		"by number":     {"80", func(*discoveryv1.Endpoint) {}, ""},
		"no such port":  {"81", func(*discoveryv1.Endpoint) {}, `no service port 81 found for service "a"`},
		"not ready":     {"http", func(e *discoveryv1.Endpoint) { e.Conditions.Ready = ptr.To(false) }, `no endpoints available for service "a"`},
		"not a pod's":   {"http", func(e *discoveryv1.Endpoint) { e.Addresses = []string{"169.254.169.254"} }, `no endpoints available for service "a"`},
		"not of a pod":  {"http", func(e *discoveryv1.Endpoint) { e.TargetRef = nil }, `no endpoints available for service "a"`},
		"of another ns": {"http", func(e *discoveryv1.Endpoint) { e.TargetRef.Namespace = "other" }, `no endpoints available for service "a"`},
	} {
		c.Put(slices, slice(tc.edit))
		for scheme, path := range map[string]string{"": "/x", "http": "", "https": "/x/"} {
			got, err := connect(resource.WithProxyPort(t.Context(), scheme, tc.port), c, kindtest.NewService("a"), path, nil)
			if tc.wantErr != "" {
				if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if diff := cmp.Diff(&resource.Target{Scheme: plain(scheme), Host: "10.244.1.5:8080", Path: path}, got); diff != "" || err != nil {
				t.Errorf("%s (-want +got): %v\n%s", name, err, diff)
			}
		}
	}
}

func TestStoredServicesOfOldServers(t *testing.T) {
	decoded := kindtest.Definition(t, "services").Strategy.Decoded
	old := kindtest.NewService("a", kindtest.WithIP("10.96.0.9"))
	decoded(old)
	if !slices.Equal(old.Spec.ClusterIPs, []string{"10.96.0.9"}) || !slices.Equal(old.Spec.IPFamilies, []corev1.IPFamily{"IPv4"}) || *old.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		t.Errorf("completed: %+v", old.Spec)
	}
}

// lateCache shows Services only once a claim was read: another server has just
// made both.
type lateCache struct {
	kindtest.Cache
	read bool
}

func (c *lateCache) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error) {
	o, err := c.Cache.Get(ctx, gr, namespace, name)
	c.read = c.read || gr.Resource == "rangeallocations" && err == nil
	return o, err
}

func (c *lateCache) List(ctx context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error) {
	if !c.read {
		return nil, nil
	}
	return c.Cache.List(ctx, gr, namespace)
}

// TestClaimThatCameMeanwhile: the claim of a Service that the list of Services was
// too old for is not taken for one that was left behind.
func TestClaimThatCameMeanwhile(t *testing.T) {
	s := newShop(t, kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}})
	service := func(name string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080}}}}
	}
	if err := s.create(service("first")); err != nil {
		t.Fatal(err)
	}
	second := service("second")
	if errs := kindtest.Create(t, s.d, second); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	late := &lateCache{Cache: s.cache}
	if _, err := s.d.Strategy.Companions(t.Context(), late, second, nil); err == nil || !late.read {
		t.Errorf("two Services have node port 30080: %v", err)
	}
}

// TestReleaseByAServerThatIsBehind: whatever a server's cache shows of the claims of
// a Service that goes, the write says what it takes them for, so that the store
// refuses it where that is wrong. Nothing is left out.
func TestReleaseByAServerThatIsBehind(t *testing.T) {
	s := newShop(t, kinds.Options{})
	svc := kindtest.NewService("a", withNodePort(30080))
	if err := s.create(svc); err != nil {
		t.Fatal(err)
	}
	ip, port := svc.Spec.ClusterIP, "nodeport-30080"
	foreign := kindtest.Cache{}
	foreign.Put(addressGR, &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: ip, ResourceVersion: "7"},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: "ns", Name: "gone"}}})
	foreign.Put(rangeGR, &corev1.RangeAllocation{ObjectMeta: metav1.ObjectMeta{Name: port, ResourceVersion: "7", Annotations: map[string]string{"pintle.dev/service": "ns/gone"}}})
	for name, tc := range map[string]struct {
		cache resource.Reader
		want  string
	}{
		"knows":     {s.cache, "delete 1, delete 1"},
		"not yet":   {kindtest.Cache{}, "absent, absent"},
		"the other": {foreign, "keep 7, keep 7"}, // the claims of a Service before it
	} {
		companions, err := s.d.Strategy.Companions(t.Context(), tc.cache, nil, svc)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(companions); !slices.Equal(got, []string{ip, port}) {
			t.Errorf("%s: claims %q", name, got)
		}
		if got := expected(t, companions); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	broken := errors.New("no cache")
	if _, err := s.d.Strategy.Companions(t.Context(), failing{broken}, nil, svc); !errors.Is(err, broken) {
		t.Errorf("claims that could not be read: %v", err)
	}
}

func names(list []resource.Companion) (out []string) {
	for _, x := range list {
		out = append(out, x.Name)
	}
	return out
}

// expected says what the store must have for companions to be written.
func expected(t *testing.T, list []resource.Companion) string {
	t.Helper()
	var out []string
	revision := func(o runtime.Object) string { return o.(metav1.Object).GetResourceVersion() }
	for _, x := range list {
		switch {
		case x.Keep:
			out = append(out, "keep "+revision(x.Old))
		case x.Object != nil:
			out = append(out, "create")
		case x.Old != nil:
			out = append(out, "delete "+revision(x.Old))
		default:
			out = append(out, "absent")
		}
	}
	return strings.Join(out, ", ")
}

// failing reads nothing.
type failing struct{ err error }

func (f failing) Get(context.Context, schema.GroupResource, string, string) (runtime.Object, error) {
	return nil, f.err
}

func (f failing) List(context.Context, schema.GroupResource, string) ([]runtime.Object, error) {
	return nil, f.err
}
