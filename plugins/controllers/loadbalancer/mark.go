package loadbalancer

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// markType is the condition by which a Service's addresses are known as this
// controller's: it is written together with them and names them. A finalizer would be
// no such mark: there is nothing outside of the Service to clean up, and a Service
// whose controller is gone could not be deleted.
const markType = "pintle.dev/LoadBalancer"

// serves tells that a Service gets its addresses here: one of this controller's class,
// and one without a class unless somebody else has given it addresses, who would do so
// again and again.
func (c *settings) serves(s *service) bool {
	if s.Spec.Type != balanced || s.Metadata.DeletionTimestamp != nil {
		return false
	}
	if s.Spec.Class != nil {
		return *s.Spec.Class == c.class
	}
	return !c.onlyClass && (len(s.Status.LoadBalancer.Ingress) == 0 || s.given())
}

// mark is the condition of this controller, or nil.
func (s *service) mark() *metav1.Condition {
	for i := range s.Status.Conditions {
		if s.Status.Conditions[i].Type == markType {
			return &s.Status.Conditions[i]
		}
	}
	return nil
}

// given tells that the addresses in the status are those that this controller wrote.
func (s *service) given() bool {
	m := s.mark()
	return m != nil && m.Status == metav1.ConditionTrue && m.Message == told(s.Status.LoadBalancer.Ingress)
}

// told is how the condition names addresses. What is stored is compared with it: it
// cannot be put in other words without care for what there is.
func told(ingress []corev1.LoadBalancerIngress) string {
	names := make([]string, 0, len(ingress))
	for _, in := range ingress {
		names = append(names, in.IP+in.Hostname)
	}
	return "addresses: " + strings.Join(names, ", ")
}

// newMark is the condition of a Service that gets these addresses, or none because of
// the refusal.
func newMark(addresses []netip.Addr, refused error) metav1.Condition {
	m := metav1.Condition{Type: markType, Status: metav1.ConditionFalse}
	switch {
	case refused != nil:
		m.Reason, m.Message = "SyncLoadBalancerFailed", refused.Error()
	case len(addresses) == 0:
		m.Reason, m.Message = "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer"
	default:
		m.Status, m.Reason, m.Message = metav1.ConditionTrue, "EnsuredLoadBalancer", told(status(addresses))
	}
	return m
}

// says tells that the Service has the condition already.
func (s *service) says(m metav1.Condition) bool {
	have := s.mark()
	return have != nil && have.Status == m.Status && have.Reason == m.Reason && have.Message == m.Message
}

// conditions are the Service's, with m for this controller's, or without if m is nil.
func (s *service) conditions(m *metav1.Condition, now time.Time) []metav1.Condition {
	have := s.mark()
	out := slices.DeleteFunc(slices.Clone(s.Status.Conditions), func(c metav1.Condition) bool { return c.Type == markType })
	if m == nil {
		return out
	}
	next := *m
	next.LastTransitionTime = metav1.NewTime(now)
	if have != nil && have.Status == next.Status {
		next.LastTransitionTime = have.LastTransitionTime
	}
	return append(out, next)
}
