// Package balancedallocation is the scheduling score that favors nodes whose
// CPU and memory become more evenly used by the pod.
package balancedallocation

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// Name of the plugin in profiles and messages.
const Name = "NodeResourcesBalancedAllocation"

func init() { sdk.Register(sdk.Plugin{Name: "balancedallocation", New: New}) }

// New makes an instance; it takes no config.
func New([]byte) (*sdk.Points, error) {
	return &sdk.Points{PreScore: preScore, ScoreAll: score}, nil
}

// preScore leaves out pods that request nothing: they would all go to the
// node that happens to be most even.
func preScore(p *sdk.Pod, _ *sdk.Snapshot) *sdk.Status {
	if p.CPU() == 0 && p.Memory() == 0 {
		return sdk.Skip()
	}
	return nil
}

func score(c *sdk.Cycle) {
	columns.Balanced2(c.Scores(), c.Rows(),
		columns.Share{Alloc: c.Int64(columns.AllocCPU), Used: c.Int64(columns.RequestCPU), Want: c.Pod().CPU()},
		columns.Share{Alloc: c.Int64(columns.AllocMemory), Used: c.Int64(columns.RequestMemory), Want: c.Pod().Memory()})
}
