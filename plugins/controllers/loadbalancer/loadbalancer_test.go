package loadbalancer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newService(name string, port int32, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = "default", name
	s.CreationTimestamp = metav1.NewTime(now)
	s.Spec.Type = balanced
	s.Spec.Ports = []corev1.ServicePort{{Port: port, Protocol: "TCP"}}
	for _, f := range change {
		f(s)
	}
	return s
}

func with(ips ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		for _, ip := range ips {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
		}
	}
}

// given has the addresses from this controller.
func given(ips ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		with(ips...)(s)
		s.Status.Conditions = []metav1.Condition{{Type: "pintle.dev/LoadBalancer", Status: "True", Reason: "EnsuredLoadBalancer", Message: "addresses: " + strings.Join(ips, ", ")}}
	}
}

func deleted(s *corev1.Service) {
	gone := metav1.NewTime(now)
	s.DeletionTimestamp, s.Finalizers = &gone, []string{"service.kubernetes.io/load-balancer-cleanup"}
}

func older(s *corev1.Service) { s.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour)) }

func class(name string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.LoadBalancerClass = &name }
}

func asks(ip string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.LoadBalancerIP = ip }
}

func annotated(key, value string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Annotations = map[string]string{key: value} }
}

func udp(s *corev1.Service)   { s.Spec.Ports[0].Protocol = "UDP" }
func local(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = "Local" }

func newNode(name, inner string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{}
	n.Name = name
	n.Status.Addresses = []corev1.NodeAddress{{Type: "Hostname", Address: name}, {Type: internalIP, Address: inner}}
	for _, f := range change {
		f(n)
	}
	return n
}

func taint(key string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: "NoSchedule"})
	}
}

func labelled(key, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels = map[string]string{key: value} }
}

func outer(ip string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: externalIP, Address: ip})
	}
}

func endpointsOn(nodes ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{}
	s.Namespace, s.Name, s.Labels = "default", "s-1", map[string]string{serviceLabel: "s"}
	for _, n := range nodes {
		name, ready := strings.CutSuffix(n, "!")
		ready = !ready
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{NodeName: &name, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	return s
}

// addresses are what the Service's status says, with a comma between.
func addresses(t testing.TB, s *sdktest.Store, name string) string {
	t.Helper()
	x := &service{}
	if err := s.Client().Get(x, "default", name); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, in := range x.Status.LoadBalancer.Ingress {
		out = append(out, in.IP)
	}
	return strings.Join(out, ",")
}

// TestAddresses: which addresses Service s gets, or why it gets none.
func TestAddresses(t *testing.T) {
	const pool = `{"pool": ["192.0.2.8/31", "198.51.100.4-198.51.100.5"]}`
	nodes := []client.Object{newNode("a", "10.0.0.1"), newNode("b", "10.0.0.2")}
	and := func(more ...client.Object) []client.Object { return append(slices.Clone(nodes), more...) }
	for name, c := range map[string]struct {
		config  string
		service *corev1.Service
		others  []client.Object
		want    string
		why     string // part of an event
	}{
		"the first of a pool":        {pool, newService("s", 80), nil, "192.0.2.8", "EnsuredLoadBalancer: Ensured load balancer"},
		"the next":                   {pool, newService("s", 80), []client.Object{newService("o", 90, with("192.0.2.8"))}, "192.0.2.9", ""},
		"of the next range":          {pool, newService("s", 80), []client.Object{newService("o", 90, with("192.0.2.8")), newService("p", 80, with("192.0.2.9"))}, "198.51.100.4", ""},
		"what another class took":    {pool, newService("s", 80), []client.Object{newService("o", 90, with("192.0.2.8"), class("a/b"))}, "192.0.2.9", ""},
		"it keeps its own":           {pool, newService("s", 80, given("198.51.100.5")), nil, "198.51.100.5", ""},
		"another had it before":      {pool, newService("s", 80, given("192.0.2.8")), []client.Object{newService("o", 90, with("192.0.2.8"), older)}, "192.0.2.9", ""},
		"it had it before":           {pool, newService("s", 80, given("192.0.2.8"), older), []client.Object{newService("o", 90, with("192.0.2.8"))}, "192.0.2.8", ""},
		"no longer of the pool":      {pool, newService("s", 80, given("203.0.113.1")), nil, "192.0.2.8", ""},
		"none is free":               {`{"pool": ["192.0.2.8"]}`, newService("s", 80), []client.Object{newService("o", 90, with("192.0.2.8"))}, "", "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: no address of the pool is free"},
		"asked for":                  {pool, newService("s", 80, asks("198.51.100.5")), nil, "198.51.100.5", ""},
		"asked for, has another":     {pool, newService("s", 80, asks("198.51.100.5"), given("192.0.2.8")), nil, "198.51.100.5", ""},
		"asked for two":              {pool, newService("s", 80, annotated("metallb.io/loadBalancerIPs", "198.51.100.5, 192.0.2.9")), nil, "198.51.100.5,192.0.2.9", ""},
		"the annotation counts":      {pool, newService("s", 80, asks("192.0.2.9"), annotated("pintle.dev/load-balancer-ips", "198.51.100.5")), nil, "198.51.100.5", ""},
		"asked for a taken one":      {pool, newService("s", 80, asks("192.0.2.8")), []client.Object{newService("o", 90, with("192.0.2.8"))}, "", "192.0.2.8 is the address of service default/o"},
		"asked for a strange one":    {pool, newService("s", 80, asks("203.0.113.1")), nil, "", "203.0.113.1 is not in the pool of this cluster"},
		"asked for nonsense":         {pool, newService("s", 80, annotated("kube-vip.io/loadbalancerIPs", "x")), nil, "", `annotation kube-vip.io/loadbalancerIPs: "x" is no IP address`},
		"asked for IPv6":             {pool, newService("s", 80, asks("2001:db8::1")), nil, "", "spec.loadBalancerIP: 2001:db8::1 is not of IPv4"},
		"restricted":                 {pool, newService("s", 80, func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"10.0.0.0/8"} }), nil, "", "nodes cannot keep other sources out"},
		"restricted by annotation":   {pool, newService("s", 80, annotated(sourceRangesKey, "10.0.0.0/8, 11.0.0.0/8")), nil, "", "nodes cannot keep other sources out"},
		"restricted to everybody":    {pool, newService("s", 80, annotated(sourceRangesKey, "0.0.0.0/0")), nil, "192.0.2.8", ""},
		"of somebody else":           {pool, newService("s", 80, with("203.0.113.1")), nil, "203.0.113.1", ""},
		"of somebody else's pool":    {pool, newService("s", 80, with("192.0.2.9")), nil, "192.0.2.9", ""},
		"somebody else has changed":  {pool, newService("s", 80, given("192.0.2.8"), func(s *corev1.Service) { s.Status.LoadBalancer.Ingress[0].IP = "203.0.113.1" }), nil, "203.0.113.1", ""},
		"of our class, changed":      {pool, newService("s", 80, class(DefaultClass), with("203.0.113.1")), nil, "192.0.2.8", ""},
		"somebody takes it over":     {`{"pool": ["192.0.2.8"], "onlyClass": true}`, newService("s", 80, given("192.0.2.8")), nil, "", "DeletedLoadBalancer"},
		"and has done so":            {`{"pool": ["192.0.2.8"], "onlyClass": true}`, newService("s", 80, with("192.0.2.8")), nil, "192.0.2.8", ""},
		"the class is another":       {`{"class": "a/b"}`, newService("s", 80, class(DefaultClass), given("192.0.2.8")), nil, "", "DeletedLoadBalancer"},
		"of another type, a cloud's": {pool, newService("s", 80, with("203.0.113.1"), deleted, func(s *corev1.Service) { s.Spec.Type = "ClusterIP" }), nil, "203.0.113.1", ""},
		"deleted":                    {pool, newService("s", 80, given("192.0.2.8"), deleted), nil, "", "DeletedLoadBalancer"},
		"deleted, a cloud's":         {pool, newService("s", 80, with("192.0.2.8"), deleted), nil, "192.0.2.8", ""},
		"of our class":               {pool, newService("s", 80, class(DefaultClass)), nil, "192.0.2.8", ""},
		"of another class":           {pool, newService("s", 80, class("a/b"), with("203.0.113.1")), nil, "203.0.113.1", ""},
		"without a class, left":      {`{"pool": ["192.0.2.8"], "onlyClass": true}`, newService("s", 80), nil, "", ""},
		"of a class of that name":    {`{"pool": ["192.0.2.8"], "onlyClass": true, "class": "a/b"}`, newService("s", 80, class("a/b")), nil, "192.0.2.8", ""},
		"of the nodes":               {"", newService("s", 80), nodes, "10.0.0.1,10.0.0.2", "EnsuredLoadBalancer"},
		"there are none":             {"", newService("s", 80), nil, "", "UnAvailableLoadBalancer: There are no available nodes for LoadBalancer"},
		"the outer one":              {"", newService("s", 80), []client.Object{newNode("a", "10.0.0.1", outer("203.0.113.1"))}, "203.0.113.1", ""},
		"not those without traffic":  {"", newService("s", 80), and(newNode("c", "10.0.0.3", labelled(excluded, "")), newNode("d", "10.0.0.4", taint(goingDown)), newNode("e", "10.0.0.5", labelled(excluded, "false"))), "10.0.0.1,10.0.0.2,10.0.0.5", ""},
		"not those that are away":    {"", newService("s", 80), and(newNode("c", "10.0.0.3", taint(unreachable)), newNode("d", "10.0.0.4", taint(notReady))), "10.0.0.1,10.0.0.2", ""},
		"all are away":               {"", newService("s", 80), []client.Object{newNode("c", "10.0.0.3", taint(unreachable))}, "10.0.0.3", ""},
		"ports beside":               {"", newService("s", 80), and(newService("o", 81, with("10.0.0.1"))), "10.0.0.1,10.0.0.2", ""},
		"another protocol":           {"", newService("s", 80, udp), and(newService("o", 80, with("10.0.0.1"))), "10.0.0.1,10.0.0.2", ""},
		"the port of another":        {"", newService("s", 80), and(newService("o", 80, with("10.0.0.1"))), "", "port 80/TCP is that of service default/o at the nodes' addresses"},
		"another waits":              {"", newService("s", 80), and(newService("o", 80, older)), "10.0.0.1,10.0.0.2", ""},
		"both have the port":         {"", newService("s", 80, given("10.0.0.1")), and(newService("o", 80, with("10.0.0.1"), older)), "", "port 80/TCP is that of service default/o"},
		"a port of the node":         {"", newService("s", 6443), nodes, "", "port 6443 is reserved at the nodes' addresses"},
		"a node port":                {"", newService("s", 30080), nodes, "", "port 30080 is reserved"},
		"a port of the server":       {`{"reservedPorts": [], "serverPorts": ["443"]}`, newService("s", 443), nodes, "", "port 443 is reserved"},
		"nothing is reserved":        {`{"reservedPorts": []}`, newService("s", 22), nodes, "10.0.0.1,10.0.0.2", ""},
		"asked for a node's":         {"", newService("s", 80, asks("10.0.0.2")), nodes, "10.0.0.2", ""},
		"asked for nobody's":         {"", newService("s", 80, asks("10.0.0.9")), nodes, "", "10.0.0.9 is not the address of a node"},
		"where the endpoints are":    {"", newService("s", 80, local), and(endpointsOn("a!", "b")), "10.0.0.2", ""},
		"no endpoints":               {"", newService("s", 80, local), nodes, "", "UnAvailableLoadBalancer"},
	} {
		t.Run(name, func(t *testing.T) {
			settings, err := parse([]byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			s, err := sdktest.NewStore(append(slices.Clone(c.others), c.service)...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := settings.reconcile(s.Client(), controller.Request{Namespace: "default", Name: "s"}); err != nil {
				t.Fatal(err)
			}
			if got := addresses(t, s, "s"); got != c.want || !strings.Contains(strings.Join(s.Notes, "\n"), c.why) {
				t.Errorf("addresses %q, want %q; events %q, want %q", got, c.want, s.Notes, c.why)
			}
		})
	}
}

// TestLife: the mark comes with the addresses, nothing is written twice, and both go,
// and nobody's finalizer, when the Service is of another type or deleted.
func TestLife(t *testing.T) {
	settings, err := parse([]byte(`{"pool": ["192.0.2.8"]}`))
	if err != nil {
		t.Fatal(err)
	}
	svc := newService("s", 80)
	const cloud = "service.kubernetes.io/load-balancer-cleanup"
	svc.Finalizers = []string{"a/b", cloud}
	s, err := sdktest.NewStore(svc)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	sync := func() *corev1.Service {
		t.Helper()
		if _, err := settings.reconcile(c, controller.Request{Namespace: "default", Name: "s"}); err != nil {
			t.Fatal(err)
		}
		out := &corev1.Service{}
		if err := c.Get(out, "default", "s"); err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := sync()
	if !slices.Equal(first.Finalizers, []string{"a/b", cloud}) || len(first.Status.Conditions) != 1 || *first.Status.LoadBalancer.Ingress[0].IPMode != "VIP" {
		t.Errorf("%+v", first)
	}
	if second := sync(); second.ResourceVersion != first.ResourceVersion || len(s.Notes) != 2 {
		t.Errorf("it is written again, or told: %q", s.Notes)
	}
	first.Spec.Type = "ClusterIP"
	if err := c.Update(first); err != nil {
		t.Fatal(err)
	}
	other := sync()
	if len(other.Status.LoadBalancer.Ingress) != 0 || len(other.Status.Conditions) != 0 || !slices.Equal(other.Finalizers, []string{"a/b", cloud}) || s.Notes[len(s.Notes)-1] != "s DeletedLoadBalancer: Deleted load balancer" {
		t.Errorf("of another type: %+v; %q", other, s.Notes)
	}
	other.Spec.Type = balanced
	if err := c.Update(other); err != nil {
		t.Fatal(err)
	}
	if again := sync(); len(again.Status.LoadBalancer.Ingress) != 1 {
		t.Errorf("of the type again: %+v", again.Status)
	}
	if err := c.Delete(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}, client.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if gone := sync(); !slices.Equal(gone.Finalizers, []string{"a/b", cloud}) || len(gone.Status.Conditions) != 0 || len(gone.Status.LoadBalancer.Ingress) != 0 {
		t.Errorf("deleted: %+v", gone)
	}
}

func TestConfig(t *testing.T) {
	for config, want := range map[string]string{
		`{"pool": ["192.0.2.0/33"]}`:               `config.pool[0] "192.0.2.0/33": want a range of IPv4`,
		`{"pool": ["192.0.2.1", "2001:db8::/64"]}`: `config.pool[1] "2001:db8::/64": want a range of IPv4`,
		`{"pool": ["192.0.2.9-192.0.2.8"]}`:        "the last address is before the first",
		`{"pool": ["x-y"]}`:                        "want addresses of IPv4",
		`{"pool": ["127.0.0.0/8"]}`:                "no host may have its addresses",
		`{"reservedPorts": ["0"]}`:                 `config.reservedPorts[0] "0": want a port`,
		`{"serverPorts": ["x"]}`:                   `config.serverPorts[0] "x": want a port`,
		`{"reservedPorts": ["9-8"]}`:               "want a port",
		`{"pools": []}`:                            "unknown field",
		`[]`:                                       "config: ",
	} {
		if _, err := parse([]byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
	s, err := parse([]byte(`{"pool": ["192.0.2.77/26", "10.0.0.1 - 10.0.0.3"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]bool{"192.0.2.63": false, "192.0.2.64": true, "192.0.2.127": true, "192.0.2.128": false, "10.0.0.1": true, "10.0.0.3": true, "10.0.0.4": false} {
		if got := s.inPool(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s is in the pool: %v", ip, got)
		}
	}
	if s.class != DefaultClass || !s.isReserved(2380) || s.isReserved(80) {
		t.Errorf("%+v", s)
	}
}
