// Package nodeipam gives every node a range of pod addresses out of the
// cluster's.
package nodeipam

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// Config is the plugin's configuration.
type Config struct {
	// ClusterCIDR is the range to cut, "10.244.0.0/16" for example.
	ClusterCIDR string `json:"clusterCIDR"`
	// NodeMask is the size of a node's range in bits; 0 is 24.
	NodeMask int `json:"nodeMask"`
}

func init() {
	sdk.Register(sdk.Plugin{Name: "node-ipam", New: func(raw []byte) (*sdk.Points, error) {
		a, err := newAllocator(raw)
		if err != nil {
			return nil, err
		}
		return &sdk.Points{Controller: &sdk.Controller{
			Watches:   []sdk.Watch{{Resource: "v1/nodes"}},
			Workers:   1, // one hand gives out addresses
			Reconcile: a.reconcile,
		}}, nil
	}})
}

type allocator struct {
	cluster netip.Prefix
	mask    int
}

func newAllocator(raw []byte) (*allocator, error) {
	c := Config{ClusterCIDR: "10.244.0.0/16"}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	if c.NodeMask == 0 {
		c.NodeMask = 24
	}
	p, err := netip.ParsePrefix(c.ClusterCIDR)
	if err != nil {
		return nil, fmt.Errorf("config.clusterCIDR: %w", err)
	}
	if !p.Addr().Is4() || c.NodeMask < max(p.Bits(), 1) || c.NodeMask > 30 {
		return nil, fmt.Errorf("config.nodeMask: %d does not cut %s into ranges for nodes", c.NodeMask, p)
	}
	return &allocator{cluster: p.Masked(), mask: c.NodeMask}, nil
}

func (a *allocator) reconcile(c sdk.Client, req sdk.Request) (sdk.Result, error) {
	// A node changes with every report of its agent; all nodes are looked at
	// only when it has no range yet.
	node := &corev1.Node{}
	if err := c.Get(node, "", req.Name); err != nil || node.Spec.PodCIDR != "" {
		if sdk.IsNotFound(err) {
			err = nil
		}
		return sdk.Result{}, err
	}
	var nodes []*corev1.Node
	if err := c.List(&nodes, sdk.ListOptions{}); err != nil {
		return sdk.Result{}, err
	}
	var used ranges
	for _, n := range nodes {
		for _, s := range append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...) {
			if p, err := netip.ParsePrefix(s); err == nil {
				used.add(p.Masked(), a.mask)
			}
		}
	}
	free, ok := a.next(used)
	if !ok {
		c.Event(node, sdk.Note{Warning: true, Reason: "CIDRNotAvailable", Message: fmt.Sprintf("%s has no free range of /%d", a.cluster, a.mask)})
		return sdk.Result{}, fmt.Errorf("node %s: %s has no free range of /%d", node.Name, a.cluster, a.mask)
	}
	patch := map[string]any{"spec": map[string]any{"podCIDR": free.String(), "podCIDRs": []string{free.String()}}}
	return sdk.Result{}, c.Patch(sdk.Clone(node), sdk.Patch{Data: patch})
}

// ranges are those in use.
type ranges struct {
	exact map[netip.Prefix]bool
	odd   []netip.Prefix // of another size than this configuration gives out
}

func (r *ranges) add(p netip.Prefix, mask int) {
	if p.Bits() != mask {
		r.odd = append(r.odd, p)
		return
	}
	if r.exact == nil {
		r.exact = map[netip.Prefix]bool{}
	}
	r.exact[p] = true
}

func (r *ranges) has(p netip.Prefix) bool {
	return r.exact[p] || slices.ContainsFunc(r.odd, p.Overlaps)
}

// next is the first range that overlaps no node's.
func (a *allocator) next(used ranges) (netip.Prefix, bool) {
	base := be(a.cluster.Addr())
	step := uint32(1) << (32 - a.mask)
	for i := range uint32(1) << (a.mask - a.cluster.Bits()) {
		p := netip.PrefixFrom(addr(base+i*step), a.mask)
		if !used.has(p) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func be(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func addr(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
