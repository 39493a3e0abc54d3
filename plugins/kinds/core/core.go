// Package core defines the kinds of the core group, which has no name. Events
// are in the package events.
//
// It has more files than other groups because Pods and Services have
// subresources and allocations of their own: one file each (pod_*.go,
// service_*.go).
package core

import (
	"net/netip"
	"slices"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Options are what the kinds of the core group depend on; every field is
// set.
type Options struct {
	ServiceCIDRs []netip.Prefix    // of ClusterIPs, the primary family first
	NodePorts    utilnet.PortRange // of node ports
	Clock        clock.PassiveClock
}

// Kinds makes the definitions of the core group, but for Events.
func Kinds(o Options) []*resource.Definition {
	return slices.Concat(plainKinds(o), podKinds(o), serviceKinds(o))
}
