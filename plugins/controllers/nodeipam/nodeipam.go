// Package nodeipam gives every node a range of pod addresses out of the
// cluster's.
package nodeipam

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Config is the plugin's configuration.
type Config struct {
	// ClusterCIDR is the range to cut, "10.244.0.0/16" for example.
	ClusterCIDR string `json:"clusterCIDR"`
	// NodeMask is the size of a node's range in bits; 0 is 24.
	NodeMask int `json:"nodeMask"`
}

func init() {
	sdk.Register(sdk.Plugin{Name: "node-ipam", New: func(raw []byte) (sdk.Points, error) {
		a, err := newAllocator(raw)
		if err != nil {
			return nil, err
		}
		return &controller.Points{
			Watches:   []controller.Watch{{Resource: "v1/nodes"}},
			Workers:   1, // one hand gives out addresses
			Reconcile: a.reconcile,
		}, nil
	}})
}

type allocator struct {
	cluster netip.Prefix
	mask    int
	// parsed are the ranges of the last list by their text. Every node that
	// comes asks about all others, and parsing is most of the work.
	parsed map[string]netip.Prefix
}

// node is what is looked at of the node that wants a range; it comes with every
// report of every agent.
type node struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              ranged `json:"spec"`
}

// other is what is kept of every node.
type other struct {
	Spec ranged `json:"spec"`
}

type ranged struct {
	PodCIDR  string   `json:"podCIDR"`
	PodCIDRs []string `json:"podCIDRs"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return "v1/nodes" }

// APIResource implements client.Object.
func (*other) APIResource() string { return "v1/nodes" }

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

func (a *allocator) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	// A node changes with every report of its agent; all nodes are looked at
	// only when it has no range yet.
	n := &node{}
	if err := c.Get(n, "", req.Name); err != nil || n.Spec.PodCIDR != "" {
		if client.IsNotFound(err) {
			err = nil
		}
		return controller.Result{}, err
	}
	var nodes []*other
	if err := c.List(&nodes, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	free, ok := a.next(a.used(nodes))
	if !ok {
		c.Event(n, client.Note{Warning: true, Reason: "CIDRNotAvailable", Message: fmt.Sprintf("%s has no free range of /%d", a.cluster, a.mask)})
		return controller.Result{}, fmt.Errorf("node %s: %s has no free range of /%d", n.Name, a.cluster, a.mask)
	}
	patch := map[string]any{"spec": map[string]any{"podCIDR": free.String(), "podCIDRs": []string{free.String()}}}
	return controller.Result{}, c.Patch(client.Clone(n), client.Patch{Data: patch})
}

// used are the ranges of all nodes.
func (a *allocator) used(nodes []*other) *ranges {
	r := &ranges{mask: a.mask, exact: make(map[uint32]struct{}, len(nodes))}
	before := a.parsed
	a.parsed = make(map[string]netip.Prefix, len(nodes))
	for _, n := range nodes {
		a.use(r, n.Spec.PodCIDR, before)
		for _, s := range n.Spec.PodCIDRs {
			if s != n.Spec.PodCIDR {
				a.use(r, s, before)
			}
		}
	}
	return r
}

func (a *allocator) use(r *ranges, text string, before map[string]netip.Prefix) {
	if text == "" {
		return
	}
	p, ok := before[text]
	if !ok {
		var err error
		if p, err = netip.ParsePrefix(text); err != nil {
			return
		}
		p = p.Masked()
	}
	a.parsed[text] = p
	r.add(p)
}

// ranges are those in use.
type ranges struct {
	mask  int
	exact map[uint32]struct{} // of mask, by their addresses
	odd   []netip.Prefix      // of another size than this configuration gives out
}

func (r *ranges) add(p netip.Prefix) {
	if p.Bits() != r.mask || !p.Addr().Is4() {
		r.odd = append(r.odd, p)
		return
	}
	r.exact[be(p.Addr())] = struct{}{}
}

func (r *ranges) has(at uint32) bool {
	if _, ok := r.exact[at]; ok {
		return true
	}
	return len(r.odd) > 0 && slices.ContainsFunc(r.odd, netip.PrefixFrom(addr(at), r.mask).Overlaps)
}

// next is the first range that overlaps no node's.
func (a *allocator) next(used *ranges) (netip.Prefix, bool) {
	base := be(a.cluster.Addr())
	step := uint32(1) << (32 - a.mask)
	for i := range uint32(1) << (a.mask - a.cluster.Bits()) {
		if at := base + i*step; !used.has(at) {
			return netip.PrefixFrom(addr(at), a.mask), true
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
