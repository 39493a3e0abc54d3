// Package nodename is the scheduling filter for pods that name their node in
// spec.nodeName.
package nodename

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// Name of the plugin in profiles and messages.
const Name = "NodeName"

var otherNode = sdk.UnschedulableAndUnresolvable("node(s) didn't match the requested node name")

func init() { sdk.Register(sdk.Plugin{Name: "nodename", New: New}) }

// New makes an instance; it takes no config.
func New([]byte) (*sdk.Points, error) {
	return &sdk.Points{PreFilter: preFilter, FilterAll: filter, Events: sdk.NodeAdded}, nil
}

func preFilter(p *sdk.Pod, _ *sdk.Snapshot) *sdk.Status {
	if p.NodeName() == "" {
		return sdk.Skip()
	}
	return nil
}

func filter(c *sdk.Cycle) {
	others := c.Mask()
	if id := c.Snapshot().StringID(c.Pod().NodeName()); id != 0 {
		columns.In(others, c.Uint32(columns.Name), []uint32{id})
	}
	others.Not(c.Len())
	c.Reject(others, otherNode)
}
