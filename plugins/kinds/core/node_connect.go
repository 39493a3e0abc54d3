package core

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

var nodesResource = schema.GroupResource{Resource: "nodes"}

// agentPort is where an agent listens that announced no port.
const agentPort = 10250

// toNode leads to a node's agent.
func toNode(ctx context.Context, r resource.Reader, name string) (*resource.Target, error) {
	obj, err := r.Get(ctx, nodesResource, "", name)
	if err != nil {
		return nil, err
	}
	n := kind.Hub[corev1.Node](obj)
	address, err := nodeAddress(n)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(err.Error())
	}
	return &resource.Target{Scheme: "https", Host: net.JoinHostPort(address, nodePort(n)), Node: name}, nil
}

// AgentOf finds the agent of a node.
//
// # Errors
//   - NotFound: there is no such node
//   - ServiceUnavailable: the node says nowhere that it can be reached
func AgentOf(ctx context.Context, r resource.Reader, node string) (*resource.Target, error) {
	return toNode(ctx, r, node)
}

// PodRanges are where the addresses of a node's pods are. What is no range is left out.
func PodRanges(obj runtime.Object) (out []netip.Prefix) {
	n := kind.Hub[corev1.Node](obj)
	for _, cidr := range append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...) {
		if p, err := netip.ParsePrefix(cidr); err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func nodePort(n *corev1.Node) string {
	if p := n.Status.DaemonEndpoints.KubeletEndpoint.Port; p != 0 {
		return strconv.Itoa(int(p))
	}
	return strconv.Itoa(agentPort)
}

// nodeAddress prefers what is reachable inside the cluster.
func nodeAddress(n *corev1.Node) (string, error) {
	for _, t := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeInternalDNS, corev1.NodeHostName, corev1.NodeExternalIP, corev1.NodeExternalDNS} {
		for _, a := range n.Status.Addresses {
			if a.Type == t && a.Address != "" {
				return a.Address, nil
			}
		}
	}
	return "", fmt.Errorf("no preferred addresses found for node %q; known addresses: %v", n.Name, n.Status.Addresses)
}

func connectNodeProxy(ctx context.Context, r resource.Reader, obj runtime.Object, path string, query map[string][]string) (*resource.Target, error) {
	n := kind.Hub[corev1.Node](obj)
	scheme, port := resource.ProxyPort(ctx)
	if port == "" || port == nodePort(n) {
		t, err := toNode(ctx, r, n.Name)
		if err != nil {
			return nil, err
		}
		t.Path, t.Query = rooted(path), query
		return t, nil
	}
	address, err := nodeAddress(n)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(err.Error())
	}
	// Another port of the node is plain; this machine and its links are not
	// for clients to reach through us.
	if ip, err := netip.ParseAddr(address); err != nil || !ip.IsGlobalUnicast() {
		return nil, apierrors.NewBadRequest("address not allowed")
	}
	return proxyTarget(scheme, address, port, path, query), nil
}
