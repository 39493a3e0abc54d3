package endpointslicemirroring

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func addresses(ips ...string) (out []corev1.EndpointAddress) {
	for _, ip := range ips {
		out = append(out, corev1.EndpointAddress{IP: ip})
	}
	return out
}

func ports(numbers ...int32) (out []corev1.EndpointPort) {
	for _, n := range numbers {
		out = append(out, corev1.EndpointPort{Name: fmt.Sprint("p", n), Port: n, Protocol: "TCP"})
	}
	return out
}

func newEndpoints(subsets ...corev1.EndpointSubset) *corev1.Endpoints {
	e := &corev1.Endpoints{Subsets: subsets}
	e.Namespace, e.Name, e.UID = "default", "db", "uid"
	e.Labels = map[string]string{"a": "b"}
	e.Annotations = map[string]string{"kept": "yes", corev1.EndpointsLastChangeTriggerTime: "t", corev1.LastAppliedConfigAnnotation: "{}"}
	return e
}

func newService() *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = "default", "db"
	return s
}

// describe writes a slice as "IPv4 [p80/TCP:80] 10.0.0.1 -10.0.0.2"; - is not ready.
func describe(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, endpoints []discoveryv1.Endpoint) string {
	var p, e []string
	for _, x := range ports {
		p = append(p, fmt.Sprintf("%s/%s:%d", *x.Name, *x.Protocol, *x.Port))
	}
	for _, x := range endpoints {
		name := x.Addresses[0] + value(x.Hostname)
		if !*x.Conditions.Ready {
			name = "-" + name
		}
		e = append(e, name)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %v %s", family, p, strings.Join(e, " ")))
}

func TestMirror(t *testing.T) {
	many := make([]string, 1005)
	for i := range many {
		many[i] = fmt.Sprintf("10.1.%d.%d", i/250, i%250)
	}
	for _, tc := range []struct {
		name    string
		subsets []corev1.EndpointSubset
		want    []string
		notes   string
	}{
		{"nothing", nil, nil, ""},
		{"states", []corev1.EndpointSubset{{Addresses: addresses("10.0.0.2", "10.0.0.1"), NotReadyAddresses: addresses("10.0.0.3"), Ports: ports(80, 443)}},
			[]string{"IPv4 [p80/TCP:80 p443/TCP:443] 10.0.0.1 10.0.0.2 -10.0.0.3"}, ""},
		{"two subsets, two families", []corev1.EndpointSubset{{Addresses: addresses("10.0.0.1", "fd00::1"), Ports: ports(80)}, {Addresses: addresses("10.0.0.2"), Ports: ports(81)}},
			[]string{"IPv4 [p80/TCP:80] 10.0.0.1", "IPv6 [p80/TCP:80] fd00::1", "IPv4 [p81/TCP:81] 10.0.0.2"}, ""},
		{"subsets of the same ports are one", []corev1.EndpointSubset{{Addresses: addresses("10.0.0.1"), Ports: ports(80)}, {Addresses: addresses("10.0.0.2"), Ports: ports(80)}},
			[]string{"IPv4 [p80/TCP:80] 10.0.0.1 10.0.0.2"}, ""},
		{"ready in one, not in another", []corev1.EndpointSubset{{Addresses: addresses("10.0.0.1"), Ports: ports(80)}, {NotReadyAddresses: addresses("10.0.0.1"), Ports: ports(80)}},
			[]string{"IPv4 [p80/TCP:80] -10.0.0.1"}, ""},
		{"not in one, ready in another", []corev1.EndpointSubset{{NotReadyAddresses: addresses("10.0.0.1"), Ports: ports(80)}, {Addresses: addresses("10.0.0.1"), Ports: ports(80)}},
			[]string{"IPv4 [p80/TCP:80] -10.0.0.1"}, ""},
		{"no ports", []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "10.0.0.1", Hostname: "h"}}}}, []string{"IPv4 [] 10.0.0.1h"}, ""},
		{"zeros in front", []corev1.EndpointSubset{{Addresses: addresses("010.000.00.001")}}, []string{"IPv4 [] 10.0.0.1"}, ""},
		{"no addresses", []corev1.EndpointSubset{{Addresses: addresses("db.example.com", "10.0.0.1")}}, []string{"IPv4 [] 10.0.0.1"}, "InvalidIPAddress Skipped 1 invalid"},
		{"too many", []corev1.EndpointSubset{{Addresses: addresses(many...)}}, []string{"1000"}, "TooManyAddressesToMirror A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 5 addresses"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mirror(newEndpoints(tc.subsets...))
			var got []string
			for _, g := range m.groups {
				if len(g.endpoints) > 10 {
					got = append(got, fmt.Sprint(len(g.endpoints)))
					continue
				}
				got = append(got, describe(g.family, g.ports, g.endpoints))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			notes := ""
			for _, n := range m.notes() {
				notes += n.Reason + " " + n.Message
			}
			if !strings.HasPrefix(notes, tc.notes) || (notes == "") != (tc.notes == "") {
				t.Errorf("notes %q, want %q", notes, tc.notes)
			}
		})
	}
}

// run reconciles and answers the slices that there are then.
func run(t *testing.T, s *sdktest.Store) (out []*discoveryv1.EndpointSlice) {
	t.Helper()
	if _, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: "db"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Client().List(&out, client.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReconcile(t *testing.T) {
	s, err := sdktest.NewStore(newService(), newEndpoints(corev1.EndpointSubset{Addresses: addresses("10.0.0.1"), Ports: ports(80)}))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	change := func(f func(e *corev1.Endpoints)) {
		t.Helper()
		e := &corev1.Endpoints{}
		if err := c.Get(e, "default", "db"); err != nil {
			t.Fatal(err)
		}
		f(e)
		if err := c.Update(e); err != nil {
			t.Fatal(err)
		}
	}
	is := run(t, s)
	if len(is) != 1 {
		t.Fatalf("%d slices", len(is))
	}
	first := is[0]
	if diff := cmp.Diff(map[string]string{"a": "b", serviceLabel: "db", managedLabel: managedBy}, first.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if fmt.Sprint(first.Annotations) != "map[kept:yes]" || first.OwnerReferences[0].Kind != "Endpoints" {
		t.Errorf("annotations %v, owners %v", first.Annotations, first.OwnerReferences)
	}
	if again := run(t, s); again[0].ResourceVersion != first.ResourceVersion {
		t.Error("what is as it should be is written again")
	}
	change(func(e *corev1.Endpoints) { e.Subsets[0].Ports = ports(8080) })
	if is := run(t, s); len(is) != 1 || is[0].UID != first.UID || *is[0].Ports[0].Port != 8080 {
		t.Errorf("other ports make another slice: %+v", is)
	}
	for what, f := range map[string]func(*corev1.Endpoints){
		"not to be mirrored": func(e *corev1.Endpoints) {
			e.Labels = map[string]string{"endpointslice.kubernetes.io/skip-mirror": "true"}
		},
		"empty": func(e *corev1.Endpoints) { e.Labels, e.Subsets = nil, nil },
	} {
		change(f)
		if is := run(t, s); len(is) != 0 {
			t.Errorf("%s: %d slices are left", what, len(is))
		}
	}
}

// A Service that gets a selector, or goes, has no mirrors any more.
func TestReconcileWithoutASource(t *testing.T) {
	mine := &discoveryv1.EndpointSlice{AddressType: "IPv4"}
	mine.Namespace, mine.Name, mine.Labels = "default", "db-1", map[string]string{serviceLabel: "db", managedLabel: managedBy}
	other := client.Clone(mine)
	other.Name, other.Labels[managedLabel] = "db-2", "somebody"
	selecting := newService()
	selecting.Spec.Selector = map[string]string{"a": "b"}
	e := newEndpoints(corev1.EndpointSubset{Addresses: addresses("10.0.0.1")})
	for what, objects := range map[string][]client.Object{"a selector": {selecting, e}, "no service": {e}, "no endpoints": {newService()}} {
		s, err := sdktest.NewStore(append(objects, mine, other)...)
		if err != nil {
			t.Fatal(err)
		}
		if is := run(t, s); len(is) != 1 || is[0].Name != "db-2" {
			t.Errorf("%s: slices %v", what, is)
		}
	}
}
