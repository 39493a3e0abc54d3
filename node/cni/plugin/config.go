// Package plugin is the CNI plugin of a node: it joins a pod's network namespace
// to the node's bridge by a pair of virtual Ethernet devices, with an address of
// the node's range. Under the type "loopback" it brings up the loopback device,
// which container runtimes ask a plugin for, too.
//
// It runs as a short-lived process for every pod, so it imports little, asks
// the kernel for little, and leaves everything else to the node agent: routes
// between nodes, Services, and host ports, which it only writes down for the
// agent (see node/cni/ipam). Every verb may be cut off and repeated.
// RATIONALE.md: "Why does Pintle bring a CNI executable of its own?"
package plugin

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/pintle-io/pintle/node/cni/ipam"
)

// Type is the plugin's name in a network configuration.
const Type = "pintle-cni"

// LoopbackType is the other type that the plugin serves.
const LoopbackType = "loopback"

// Config is the plugin's part of a network configuration.
type Config struct {
	types.PluginConf
	// Bridge is the device's name. It is made if it is missing.
	Bridge string `json:"bridge,omitempty"`
	// PodCIDR is the node's range; its first address is the bridge's.
	PodCIDR netip.Prefix `json:"podCIDR,omitzero"`
	// MTU of pods' devices; 0 means the kernel's choice.
	MTU int `json:"mtu,omitempty"`
	// DataDir remembers who has which address.
	DataDir string `json:"dataDir,omitempty"`
	// Runtime is what the container runtime says about one pod.
	Runtime struct {
		PortMappings []ipam.Port `json:"portMappings,omitempty"`
	} `json:"runtimeConfig,omitzero"`
	Valid []types.GCAttachment `json:"cni.dev/valid-attachments,omitempty"`
}

// Gateway is the bridge's address with the length of the range.
func Gateway(pods netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(pods.Masked().Addr().Next(), pods.Bits())
}

func parse(stdin []byte) (*Config, error) {
	c := new(Config)
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "network configuration", err.Error())
	}
	bad := func(what string) (*Config, error) {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, what, "")
	}
	switch {
	case c.Type == LoopbackType:
	case c.Bridge == "":
		return bad("bridge: no name")
	case !c.PodCIDR.IsValid() || !c.PodCIDR.Addr().Is4() || c.PodCIDR.Bits() > 30:
		return bad(fmt.Sprintf("podCIDR %s: want an IPv4 range of at least four addresses", c.PodCIDR))
	case c.DataDir == "":
		return bad("dataDir: none")
	case c.MTU < 0 || c.MTU > 65535:
		return bad(fmt.Sprintf("mtu %d: want 0 to 65535", c.MTU))
	}
	return c, nil
}
