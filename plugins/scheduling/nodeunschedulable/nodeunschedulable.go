// Package nodeunschedulable is the scheduling filter that keeps pods off
// cordoned nodes.
package nodeunschedulable

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// Name of the plugin in profiles and messages.
const Name = "NodeUnschedulable"

var cordoned = sdk.UnschedulableAndUnresolvable("node(s) were unschedulable")

// taint is what the node controller puts on a cordoned node: a pod that
// tolerates it may run there.
var taint = sdk.Taint{Key: "node.kubernetes.io/unschedulable", Effect: sdk.NoSchedule}

func init() { sdk.Register(sdk.Plugin{Name: "nodeunschedulable", New: New}) }

// New makes an instance; it takes no config.
func New([]byte) (*sdk.Points, error) {
	return &sdk.Points{PreFilter: preFilter, FilterAll: filter, Events: sdk.NodeAdded | sdk.NodeUnschedulableChanged}, nil
}

func preFilter(p *sdk.Pod, _ *sdk.Snapshot) *sdk.Status {
	if p.Tolerates(taint) {
		return sdk.Skip()
	}
	return nil
}

func filter(c *sdk.Cycle) {
	rows := c.Mask()
	columns.BitsSet(rows, c.Uint32(columns.Flags), columns.FlagUnschedulable)
	c.Reject(rows, cordoned)
}
