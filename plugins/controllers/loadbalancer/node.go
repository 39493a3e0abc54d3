package loadbalancer

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// node is what counts of a Node.
type node struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Taints []corev1.Taint `json:"taints"`
	} `json:"spec"`
	Status struct {
		Addresses []corev1.NodeAddress `json:"addresses"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return nodes }

// slice is what counts of an EndpointSlice.
type slice struct {
	Endpoints []struct {
		NodeName   string `json:"nodeName"`
		Conditions struct {
			Ready *bool `json:"ready"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

// APIResource implements client.Object.
func (*slice) APIResource() string { return endpointSlices }

const (
	excluded       = "node.kubernetes.io/exclude-from-external-load-balancers"
	goingDown      = "ToBeDeletedByClusterAutoscaler"
	notReady       = "node.kubernetes.io/not-ready"
	unreachable    = "node.kubernetes.io/unreachable"
	externalIP     = "ExternalIP"
	internalIP     = "InternalIP"
	serviceLabel   = "kubernetes.io/service-name"
	services       = "v1/services"
	nodes          = "v1/nodes"
	endpointSlices = "discovery.k8s.io/v1/endpointslices"
	traffic        = "spec.externalTrafficPolicy"
)

// eligible are the nodes that take traffic from outside, by upstream's predicates,
// sorted by name: those that are ready, as their taints say, or all if none is.
func eligible(all []*node) []*node {
	var in, ready []*node
	for _, n := range all {
		if n.Metadata.DeletionTimestamp != nil || isExcluded(n) || n.tainted(goingDown) {
			continue
		}
		in = append(in, n)
		if !n.tainted(notReady) && !n.tainted(unreachable) {
			ready = append(ready, n)
		}
	}
	if len(ready) == 0 {
		ready = in
	}
	slices.SortFunc(ready, func(a, b *node) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	return ready
}

func (n *node) tainted(key string) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

// isExcluded: a label whose value is no boolean excludes, too, as upstream has it.
func isExcluded(n *node) bool {
	v, ok := n.Metadata.Labels[excluded]
	if !ok {
		return false
	}
	yes, err := strconv.ParseBool(v)
	return err != nil || yes
}

// addressesOf are the nodes' addresses of IPv4: of those that have one for the outside
// that one, of others the inner one.
func addressesOf(list []*node) []netip.Addr {
	var out []netip.Addr
	for _, n := range list {
		a := n.address(externalIP)
		if !a.IsValid() {
			a = n.address(internalIP)
		}
		if a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func (n *node) address(of corev1.NodeAddressType) netip.Addr {
	for _, x := range n.Status.Addresses {
		if a, err := netip.ParseAddr(x.Address); x.Type == of && err == nil && a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// serving are the nodes with ready endpoints.
func serving(list []*slice) map[string]bool {
	out := map[string]bool{}
	for _, s := range list {
		for _, e := range s.Endpoints {
			if e.NodeName != "" && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				out[e.NodeName] = true
			}
		}
	}
	return out
}
