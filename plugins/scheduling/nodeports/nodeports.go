// Package nodeports is the scheduling filter for nodes on which another pod
// has a host port that the pod claims.
package nodeports

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "NodePorts"

var taken = scheduling.Unschedulable("node(s) didn't have free ports for the requested pod ports")

func init() {
	sdk.Register(sdk.Plugin{Name: "nodeports", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance; it takes no config.
func New([]byte) (*scheduling.Points, error) {
	t := &plugin{}
	return &scheduling.Points{PreFilter: t.preFilter, FilterAll: t.filter, Events: scheduling.NodeAdded | scheduling.PodDeleted}, nil
}

// plugin holds the verdict on each distinct set of ports in use: nodes share
// a few, and most have none.
type plugin struct{ refused []uint8 }

func (t *plugin) preFilter(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
	if len(p.Ports()) == 0 {
		return scheduling.Skip()
	}
	t.refused = t.refused[:0]
	any := false
	for set := range s.PortSets() {
		var bad uint8
		for _, port := range p.Ports() {
			if s.PortTaken(set, port) {
				bad, any = 1, true
				break
			}
		}
		t.refused = append(t.refused, bad)
	}
	if !any {
		return scheduling.Skip()
	}
	return nil
}

func (t *plugin) filter(c *scheduling.Cycle) {
	rows := c.Mask()
	vector.Lookup(rows, c.Uint32(scheduling.PortSet), t.refused)
	c.Reject(rows, taken)
}
