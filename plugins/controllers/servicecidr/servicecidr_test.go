package servicecidr

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	networkingv1 "github.com/pintle-io/pintle/sdk/api/networking/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newRange(name string, cidrs ...string) *networkingv1.ServiceCIDR {
	r := &networkingv1.ServiceCIDR{}
	r.Name, r.Spec.CIDRs, r.Finalizers = name, cidrs, []string{finalizer}
	return r
}

// going is a range that was deleted so long ago.
func going(ago time.Duration, r *networkingv1.ServiceCIDR) *networkingv1.ServiceCIDR {
	at := metav1.NewTime(now.Add(-ago))
	r.DeletionTimestamp = &at
	return r
}

func newAddress(name string) *networkingv1.IPAddress {
	a := &networkingv1.IPAddress{}
	a.Name, a.Labels = name, map[string]string{networkingv1.LabelManagedBy: allocator}
	return a
}

func gateways(name string) *networkingv1.IPAddress {
	a := newAddress(name)
	a.Labels[networkingv1.LabelManagedBy] = "somebody"
	return a
}

// TestDeletion: a range goes when no address would be left without one.
func TestDeletion(t *testing.T) {
	const long, little = time.Minute, 4 * time.Second
	for name, c := range map[string]struct {
		have  []client.Object
		gone  bool
		again time.Duration
		is    string // of the condition
	}{
		"empty":               {[]client.Object{going(long, newRange("r", "10.0.0.0/24"))}, true, 0, ""},
		"not long enough":     {[]client.Object{going(little, newRange("r", "10.0.0.0/24"))}, false, 6 * time.Second, ""},
		"with an address":     {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), newAddress("10.0.0.1")}, false, 0, "False Terminating"},
		"with an old address": {[]client.Object{going(little, newRange("r", "10.0.0.0/24")), newAddress("10.0.0.1")}, false, 0, "False Terminating"},
		"another's address":   {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), gateways("10.0.0.1"), newAddress("10.0.1.1")}, true, 0, ""},
		"within another":      {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), newRange("s", "10.0.0.0/16"), newAddress("10.0.0.1")}, true, 0, ""},
		"equal to another":    {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), newRange("s", "10.0.0.0/24"), newAddress("10.0.0.1")}, true, 0, ""},
		"larger than another": {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), newRange("s", "10.0.0.0/28"), newAddress("10.0.0.1")}, true, 0, ""},
		"an address beside":   {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), newRange("s", "10.0.0.0/28"), newAddress("10.0.0.99")}, false, 0, "False Terminating"},
		"another's broadcast": {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), newRange("s", "10.0.0.0/28"), newAddress("10.0.0.15")}, false, 0, "False Terminating"},
		"both are going":      {[]client.Object{going(long, newRange("r", "10.0.0.0/24")), going(long, newRange("s", "10.0.0.0/24")), newAddress("10.0.0.1")}, false, 0, "False Terminating"},
		"one family within":   {[]client.Object{going(long, newRange("r", "10.0.0.0/24", "fd00::/64")), newRange("s", "10.0.0.0/16"), newAddress("10.0.0.1")}, true, 0, ""},
		"the other has one":   {[]client.Object{going(long, newRange("r", "10.0.0.0/24", "fd00::/64")), newRange("s", "10.0.0.0/16"), newAddress("fd00::1")}, false, 0, "False Terminating"},
		"somebody else holds it": {[]client.Object{func() client.Object {
			r := going(long, newRange("r", "10.0.0.0/24"))
			r.Finalizers = []string{"a/b"}
			return r
		}()}, false, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sdktest.NewStore(c.have...)
			if err != nil {
				t.Fatal(err)
			}
			res, err := reconcile(s.Client(), controller.Request{Name: "r"}, now)
			if err != nil {
				t.Fatal(err)
			}
			r := &networkingv1.ServiceCIDR{}
			err = s.Client().Get(r, "", "r")
			if client.IsNotFound(err) != c.gone || res.RequeueAfter != c.again {
				t.Fatalf("gone: %v, want %v; again after %v, want %v", err, c.gone, res.RequeueAfter, c.again)
			}
			if got := condition(r); got != c.is {
				t.Errorf("condition %q, want %q", got, c.is)
			}
		})
	}
}

func condition(r *networkingv1.ServiceCIDR) string {
	for _, c := range r.Status.Conditions {
		if c.Type == "Ready" {
			if c.Reason == "" {
				return string(c.Status)
			}
			return fmt.Sprintf("%s %s", c.Status, c.Reason)
		}
	}
	return ""
}

// TestReady: a new range gets the finalizer and then the condition; one that has both is
// not written, and conditions of others stay.
func TestReady(t *testing.T) {
	r := newRange("r", "10.0.0.0/24")
	r.Finalizers = []string{"a/b"}
	r.Status.Conditions = []metav1.Condition{{Type: "Audited", Status: "True"}}
	s, err := sdktest.NewStore(r)
	if err != nil {
		t.Fatal(err)
	}
	sync := func(at time.Time) *networkingv1.ServiceCIDR {
		t.Helper()
		if res, err := reconcile(s.Client(), controller.Request{Name: "r"}, at); err != nil || res.RequeueAfter != 0 {
			t.Fatal(res, err)
		}
		got := &networkingv1.ServiceCIDR{}
		if err := s.Client().Get(got, "", "r"); err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := sync(now)
	if condition(first) != "True" || first.Status.Conditions[1].Message != "Kubernetes Service CIDR is ready" || first.Status.Conditions[0].Type != "Audited" ||
		!slices.Equal(first.Finalizers, []string{"a/b", finalizer}) {
		t.Errorf("%+v", first)
	}
	if second := sync(now.Add(time.Hour)); second.ResourceVersion != first.ResourceVersion {
		t.Error("it is written again")
	}
	if _, err := reconcile(s.Client(), controller.Request{Name: "never"}, now); err != nil {
		t.Error(err)
	}
}

// TestWaiting: what may let a range go has all that wait looked at again.
func TestWaiting(t *testing.T) {
	s, err := sdktest.NewStore(newRange("a", "10.0.0.0/24"), going(0, newRange("b", "10.0.1.0/24")), going(0, newRange("c", "10.0.2.0/24")))
	if err != nil {
		t.Fatal(err)
	}
	res, err := reconcile(s.Client(), controller.Request{Name: waiting}, now)
	if want := []controller.Request{{Name: "b"}, {Name: "c"}}; err != nil || !slices.Equal(res.Enqueue, want) {
		t.Errorf("%v, want %v; %v", res.Enqueue, want, err)
	}
}

// TestTransition: the time of a condition is when its status changed.
func TestTransition(t *testing.T) {
	before := metav1.NewTime(now.Add(-time.Hour))
	was := []metav1.Condition{{Type: "Ready", Status: "True", Message: "Kubernetes default Service CIDR is ready", LastTransitionTime: before}}
	if next, changed := conditions(was, ready, now); !changed || next[0].LastTransitionTime != before || next[0].Message != ready.Message {
		t.Errorf("of the same status: %+v", next)
	}
	if next, changed := conditions(was, terminating, now); !changed || next[0].LastTransitionTime != metav1.NewTime(now) {
		t.Errorf("of another: %+v", next)
	}
}
