package controllertest_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// zoned are nodes of two zones.
func zoned(t *testing.T, c *cluster) {
	t.Helper()
	startNodes(t, c, "a", "b")
	for name, zone := range map[string]string{"a": "east", "b": "west"} {
		update(t, c, name, "", func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = zone })
		update(t, c, name, "status", func(n *corev1.Node) {
			n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("1")}
		})
	}
}

// wrong tells what is otherwise than wanted of the ready endpoints of web: n of them,
// each in the zone of its node, and near for whom it is.
func wrong(t *testing.T, c *cluster, n int, near func(discoveryv1.Endpoint) bool) string {
	t.Helper()
	found := 0
	for _, s := range list[discoveryv1.EndpointSlice](t, c, namespace) {
		for _, e := range s.Endpoints {
			zone := map[string]string{"a": "east", "b": "west"}[*e.NodeName]
			if e.Zone == nil || *e.Zone != zone {
				return fmt.Sprintf("an endpoint on %s is in zone %v", *e.NodeName, e.Zone)
			}
			if e.Conditions.Ready == nil || !*e.Conditions.Ready {
				continue
			}
			if !near(e) {
				return fmt.Sprintf("an endpoint on %s has hints %+v", *e.NodeName, e.Hints)
			}
			found++
		}
	}
	return equal("endpoints", found, n)
}

// A Service that wants traffic to stay near has endpoints that say for whom they are.
func TestTrafficDistribution(t *testing.T) {
	c := newCluster(t, nativeHost(t), workload...)
	zoned(t, c)
	c.mustCreate(t, newService("web", "web"))
	c.mustCreate(t, newDeployment("web", 6))
	want := func(what, distribution string, near func(discoveryv1.Endpoint) bool) {
		t.Helper()
		update(t, c, "web", "", func(s *corev1.Service) {
			if s.Spec.TrafficDistribution = &distribution; distribution == "" {
				s.Spec.TrafficDistribution = nil
			}
		})
		eventually(t, what, func() string { return wrong(t, c, 6, near) })
	}
	want("no hints", "", func(e discoveryv1.Endpoint) bool { return e.Hints == nil })
	want("of the zone", corev1.ServiceTrafficDistributionPreferSameZone, func(e discoveryv1.Endpoint) bool {
		return e.Hints != nil && len(e.Hints.ForZones) == 1 && e.Hints.ForZones[0].Name == *e.Zone && len(e.Hints.ForNodes) == 0
	})
	want("of the node", corev1.ServiceTrafficDistributionPreferSameNode, func(e discoveryv1.Endpoint) bool {
		return e.Hints != nil && len(e.Hints.ForNodes) == 1 && e.Hints.ForNodes[0].Name == *e.NodeName && len(e.Hints.ForZones) == 1
	})
	want("no hints any more", "", func(e discoveryv1.Endpoint) bool { return e.Hints == nil })
}

// With topology aware routing each zone gets its part, and loses it when nobody can say
// how large that is.
func TestTopologyAwareRouting(t *testing.T) {
	c := newCluster(t, nativeHost(t), workload...)
	zoned(t, c)
	s := newService("web", "web")
	s.Annotations = map[string]string{corev1.AnnotationTopologyMode: "Auto"}
	c.mustCreate(t, s)
	c.mustCreate(t, newDeployment("web", 6))
	parts := map[string]int{}
	eventually(t, "hints", func() string {
		clear(parts)
		if w := wrong(t, c, 6, func(e discoveryv1.Endpoint) bool {
			if e.Hints == nil || len(e.Hints.ForZones) != 1 {
				return false
			}
			parts[e.Hints.ForZones[0].Name]++
			return true
		}); w != "" {
			return w
		}
		return equal("parts", fmt.Sprint(parts), "map[east:3 west:3]")
	})
	eventually(t, "an event says so", func() string {
		for _, e := range list[corev1.Event](t, c, namespace) {
			if e.Reason == "TopologyAwareHintsEnabled" {
				return equal("message", e.Message, "Topology Aware Hints has been enabled, addressType: IPv4")
			}
		}
		return "no event"
	})
	update(t, c, "b", "", func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = "east" })
	eventually(t, "one zone only", func() string {
		for _, s := range list[discoveryv1.EndpointSlice](t, c, namespace) {
			for _, e := range s.Endpoints {
				if e.Hints != nil {
					return "there are hints"
				}
			}
		}
		return ""
	})
}
