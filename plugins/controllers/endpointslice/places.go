package endpointslice

import (
	"slices"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// node is what counts of a node: where it is, and how much it can do.
type node struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Allocatable corev1.ResourceList `json:"allocatable"`
		Conditions  []struct {
			Type   corev1.NodeConditionType `json:"type"`
			Status corev1.ConditionStatus   `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// APIResource makes a node a client.Object.
func (*node) APIResource() string { return "v1/nodes" }

func (n *node) ready() bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// fewNodes are read one by one; more of them, all at once, as a list costs little while
// its objects stay as they are.
const fewNodes = 16

// nodesOf reads the nodes on which pods are, by their names.
func nodesOf(c client.Client, pods []*backends.Pod) (map[string]*node, error) {
	names := map[string]bool{}
	for _, p := range pods {
		if p.Spec.NodeName != "" {
			names[p.Spec.NodeName] = true
		}
	}
	if len(names) > fewNodes {
		return allNodes(c)
	}
	out := map[string]*node{}
	for name := range names {
		n := &node{}
		switch err := c.Get(n, "", name); {
		case err == nil:
			out[name] = n
		case !client.IsNotFound(err):
			return nil, err
		}
	}
	return out, nil
}

func allNodes(c client.Client) (map[string]*node, error) {
	var all []*node
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return nil, err
	}
	out := make(map[string]*node, len(all))
	for _, n := range all {
		out[n.Name] = n
	}
	return out, nil
}

// place says of endpoints in which zone they are and, where the Service wants traffic to
// stay near, for whom they are; see trafficDistribution of Services. Those on a node that
// is not there are left out unless the Service takes all, and lacking tells that there
// are some.
func place(svc *corev1.Service, groups []*group, nodes map[string]*node) (lacking bool) {
	near := nearness(svc)
	for _, g := range groups {
		g.endpoints = slices.DeleteFunc(g.endpoints, func(e discoveryv1.Endpoint) bool {
			gone := nodes[value(e.NodeName)] == nil && !svc.Spec.PublishNotReadyAddresses
			lacking = lacking || gone
			return gone
		})
		for i := range g.endpoints {
			e := &g.endpoints[i]
			if n := nodes[value(e.NodeName)]; n != nil && n.Labels[corev1.LabelTopologyZone] != "" {
				zone := n.Labels[corev1.LabelTopologyZone]
				e.Zone = &zone
			}
			if near != "" && value(e.Conditions.Ready) {
				e.Hints = hintsOf(e, near == corev1.ServiceTrafficDistributionPreferSameNode)
			}
		}
	}
	return lacking
}

// nearness is the Service's trafficDistribution as far as it counts: topology aware
// routing, which is older, goes before it.
func nearness(svc *corev1.Service) string {
	switch d := value(svc.Spec.TrafficDistribution); d {
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode:
		if !proportional(svc) {
			return d
		}
	}
	return ""
}

// proportional tells that endpoints are to be spread over zones by what the nodes there
// can do: topology aware routing (KEP-2433).
func proportional(svc *corev1.Service) bool {
	mode, ok := svc.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	if !ok {
		mode = svc.Annotations[corev1.AnnotationTopologyMode]
	}
	return mode == "Auto" || mode == "auto"
}

func hintsOf(e *discoveryv1.Endpoint, sameNode bool) *discoveryv1.EndpointHints {
	var h discoveryv1.EndpointHints
	if e.Zone != nil {
		h.ForZones = []discoveryv1.ForZone{{Name: *e.Zone}}
	}
	if sameNode && e.NodeName != nil {
		h.ForNodes = []discoveryv1.ForNode{{Name: *e.NodeName}}
	}
	if h.ForZones == nil && h.ForNodes == nil {
		return nil
	}
	return &h
}
