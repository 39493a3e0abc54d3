package ipaddressrepair

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	networkingv1 "github.com/pintle-io/pintle/sdk/api/networking/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var (
	now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ip  = netip.MustParseAddr("10.0.0.5")
)

func newService(name string, ips ...string) *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = "default", name
	s.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	s.Spec.Type = "ClusterIP"
	if len(ips) > 0 {
		s.Spec.ClusterIP, s.Spec.ClusterIPs = ips[0], ips
	}
	return s
}

// claimed is an IPAddress as a server makes it for a Service, so long ago.
func claimed(by string, ago time.Duration, change ...func(*networkingv1.IPAddress)) *networkingv1.IPAddress {
	s := &service{}
	s.Metadata.Namespace, s.Metadata.Name = "default", by
	x := newClaim(s, ip)
	x.CreationTimestamp = metav1.NewTime(now.Add(-ago))
	for _, f := range change {
		f(x)
	}
	return x
}

func foreign(x *networkingv1.IPAddress) {
	x.Spec.ParentRef.Group, x.Spec.ParentRef.Resource = "gateway.networking.k8s.io", "gateways"
}

func unlabelled(x *networkingv1.IPAddress) { x.Labels = nil }

func store(t *testing.T, objects ...client.Object) *sdktest.Store {
	t.Helper()
	r := &networkingv1.ServiceCIDR{}
	r.Name, r.Spec.CIDRs = "kubernetes", []string{"10.0.0.0/24", "fd00::/64"}
	s, err := sdktest.NewStore(append(objects, r)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// owner is the Service that the claim of the address names; "" if there is no claim.
func owner(t *testing.T, s *sdktest.Store) string {
	t.Helper()
	x := &networkingv1.IPAddress{}
	if err := s.Client().Get(x, "", ip.String()); client.IsNotFound(err) {
		return ""
	} else if err != nil {
		t.Fatal(err)
	}
	if !ofService(x) || !labelled(x, ip) {
		return "?" + reference(x)
	}
	return x.Spec.ParentRef.Name
}

// TestService is upstream's table of what a Service and an IPAddress may be to each
// other (repairip.go).
func TestService(t *testing.T) {
	other := newService("other", ip.String())
	for name, c := range map[string]struct {
		have  []client.Object
		owner string
		event string
		again bool
	}{
		"claimed":                      {[]client.Object{claimed("s", time.Hour)}, "s", "", false},
		"not claimed":                  {nil, "s", "s ClusterIPNotAllocated: Cluster IP [IPv4]: 10.0.0.5 is not allocated; repairing", false},
		"of a gateway":                 {[]client.Object{claimed("s", time.Hour, foreign)}, "s", "s ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.0.0.5 for Service default/s has a wrong reference; repairing", false},
		"of one that is not there":     {[]client.Object{claimed("gone", time.Hour)}, "s", "s ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.0.0.5 for Service default/s has a wrong reference; repairing", false},
		"of one that may come yet":     {[]client.Object{claimed("gone", time.Second)}, "gone", "", true},
		"of another that has it, too":  {[]client.Object{claimed("other", time.Hour), other}, "other", "s ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.0.0.5 was assigned to multiple services; please recreate service", true},
		"of another that has it not":   {[]client.Object{claimed("other", time.Hour), newService("other", "10.0.0.6")}, "other", "", true},
		"claimed, but without a label": {[]client.Object{claimed("s", time.Hour, unlabelled)}, "s", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t, append(c.have, newService("s", ip.String()))...)
			res, err := reconcileService(s.Client(), controller.Request{Namespace: "default", Name: "s"}, now)
			if err != nil {
				t.Fatal(err)
			}
			if got := owner(t, s); got != c.owner || strings.Join(s.Notes, "\n") != c.event || (res.RequeueAfter > 0) != c.again {
				t.Errorf("claimed by %q, want %q; again after %v; events:\n%q, want\n%q", got, c.owner, res.RequeueAfter, s.Notes, c.event)
			}
		})
	}
}

// TestAddresses: which addresses of a Service are looked at, and what is said of bad
// ones.
func TestAddresses(t *testing.T) {
	headless, external := newService("headless", "None"), newService("external", ip.String())
	external.Spec.Type = corev1.ServiceTypeExternalName
	for name, c := range map[string]struct {
		service *corev1.Service
		claims  []string
		event   string
	}{
		"two families": {newService("s", "10.0.0.5", "fd00::5"), []string{"10.0.0.5", "fd00::5"}, "ClusterIPNotAllocated"},
		"headless":     {headless, nil, ""},
		"external":     {external, nil, ""},
		"out of range": {newService("s", "10.1.0.5"), nil, "s ClusterIPOutOfRange: Cluster IP [IPv4]: 10.1.0.5 is not within any configured Service CIDR; please recreate service"},
		"the first":    {newService("s", "10.0.0.0"), nil, "ClusterIPOutOfRange"},
		"broadcast":    {newService("s", "10.0.0.255"), nil, "ClusterIPOutOfRange"},
		"none at all":  {newService("s", "nonsense"), nil, "s ClusterIPNotValid: Cluster IP nonsense is not a valid IP; please recreate Service"},
		"it is not":    {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t)
			if c.service != nil {
				s = store(t, c.service)
			} else {
				c.service = newService("never")
			}
			if _, err := reconcileService(s.Client(), controller.Request{Namespace: "default", Name: c.service.Name}, now); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, k := range s.Keys() {
				if name, ok := strings.CutPrefix(k, claims+"//"); ok {
					got = append(got, name)
				}
			}
			if events := strings.Join(s.Notes, "\n"); !slices.Equal(got, c.claims) || !strings.Contains(events, c.event) || c.event == "" && events != "" {
				t.Errorf("claims %v, events %q", got, events)
			}
		})
	}
}

// TestClaim: a claim goes when its Service does not have it, after a while.
func TestClaim(t *testing.T) {
	external := newService("s", "None")
	external.Spec.Type, external.Spec.ClusterIPs = corev1.ServiceTypeExternalName, nil
	young := newService("s", "10.0.0.6")
	young.CreationTimestamp = metav1.NewTime(now)
	for name, c := range map[string]struct {
		claim   *networkingv1.IPAddress
		service *corev1.Service
		gone    bool
		again   time.Duration
		event   string
	}{
		"it is the Service's":         {claimed("s", time.Hour), newService("s", ip.String()), false, 0, ""},
		"changed by somebody":         {claimed("s", time.Hour, foreign), nil, true, 0, "10.0.0.5 IPAddressNotAllocated: IPAddress 10.0.0.5 appears to have been modified, not referencing a Service {gateway.networking.k8s.io gateways default s}: cleaning up"},
		"of somebody else":            {claimed("s", time.Hour, foreign, unlabelled), nil, false, 0, ""},
		"leaked":                      {claimed("s", time.Hour), nil, true, 0, "10.0.0.5 IPAddressNotAllocated: IPAddress: 10.0.0.5 for Service default/s appears to have leaked: cleaning up"},
		"its Service may yet come":    {claimed("s", 50*time.Second), nil, false, 11 * time.Second, ""},
		"it may get an address":       {claimed("s", 20*time.Second), external, false, 40 * time.Second, ""},
		"it did not get one":          {claimed("s", time.Minute), external, true, 0, "10.0.0.5 IPAddressWrongReference: IPAddress: 10.0.0.5 for Service default/s has a wrong reference; cleaning up"},
		"newer than its Service":      {claimed("s", time.Second), newService("s", "10.0.0.6"), false, 5 * time.Second, ""},
		"the Service has another":     {claimed("s", time.Minute), newService("s", "10.0.0.6"), true, 0, "IPAddressWrongReference"},
		"older than its Service's":    {claimed("s", time.Second), young, true, 0, "IPAddressWrongReference"},
		"the Service has none at all": {claimed("s", time.Hour), newService("s"), true, 0, "IPAddressWrongReference"},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t, c.claim)
			if c.service != nil {
				s = store(t, c.claim, c.service)
			}
			res, err := reconcileClaim(s.Client(), ip.String(), now)
			if err != nil {
				t.Fatal(err)
			}
			gone := client.IsNotFound(s.Client().Get(&networkingv1.IPAddress{}, "", ip.String()))
			if events := strings.Join(s.Notes, "\n"); gone != c.gone || res.RequeueAfter != c.again || !strings.Contains(events, c.event) || c.event == "" && events != "" {
				t.Errorf("gone %v, again after %v, events %q", gone, res.RequeueAfter, events)
			}
		})
	}
	if _, err := reconcileClaim(store(t).Client(), "10.0.0.9", now); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
}
