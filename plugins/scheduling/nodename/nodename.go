// Package nodename is the scheduling filter for pods that name their node in
// spec.nodeName.
package nodename

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "NodeName"

var otherNode = scheduling.UnschedulableAndUnresolvable("node(s) didn't match the requested node name")

func init() {
	sdk.Register(sdk.Plugin{Name: "nodename", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance; it takes no config.
func New([]byte) (*scheduling.Points, error) {
	return &scheduling.Points{PreFilter: preFilter, FilterAll: filter, Events: scheduling.NodeAdded}, nil
}

func preFilter(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
	if p.NodeName() == "" {
		return scheduling.Skip()
	}
	return nil
}

func filter(c *scheduling.Cycle) {
	others := c.Mask()
	if id := c.Snapshot().StringID(c.Pod().NodeName()); id != 0 {
		vector.In(others, c.Uint32(scheduling.NodeNames), []uint32{id})
	}
	others.Not(c.Len())
	c.Reject(others, otherNode)
}
