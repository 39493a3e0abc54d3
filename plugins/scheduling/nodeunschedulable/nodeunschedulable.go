// Package nodeunschedulable is the scheduling filter that keeps pods off
// cordoned nodes.
package nodeunschedulable

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "NodeUnschedulable"

var cordoned = scheduling.UnschedulableAndUnresolvable("node(s) were unschedulable")

// taint is what the node controller puts on a cordoned node: a pod that
// tolerates it may run there.
var taint = scheduling.Taint{Key: "node.kubernetes.io/unschedulable", Effect: scheduling.NoSchedule}

func init() {
	sdk.Register(sdk.Plugin{Name: "nodeunschedulable", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance; it takes no config.
func New([]byte) (*scheduling.Points, error) {
	return &scheduling.Points{PreFilter: preFilter, FilterAll: filter, Events: scheduling.NodeAdded | scheduling.NodeUnschedulableChanged}, nil
}

func preFilter(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
	if p.Tolerates(taint) {
		return scheduling.Skip()
	}
	return nil
}

func filter(c *scheduling.Cycle) {
	rows := c.Mask()
	vector.BitsSet(rows, c.Uint32(scheduling.NodeFlags), scheduling.FlagUnschedulable)
	c.Reject(rows, cordoned)
}
