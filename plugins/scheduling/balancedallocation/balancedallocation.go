// Package balancedallocation is the scheduling score that favors nodes whose
// CPU and memory become more evenly used by the pod.
package balancedallocation

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "NodeResourcesBalancedAllocation"

func init() {
	sdk.Register(sdk.Plugin{Name: "balancedallocation", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance; it takes no config.
func New([]byte) (*scheduling.Points, error) {
	return &scheduling.Points{PreScore: preScore, ScoreAll: score}, nil
}

// preScore leaves out pods that request nothing: they would all go to the
// node that happens to be most even.
func preScore(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
	if p.CPU() == 0 && p.Memory() == 0 {
		return scheduling.Skip()
	}
	return nil
}

func score(c *scheduling.Cycle) {
	vector.Balanced2(c.Scores(), c.Rows(),
		vector.Share{Alloc: c.Int64(scheduling.AllocatableCPU), Used: c.Int64(scheduling.RequestedCPU), Want: c.Pod().CPU()},
		vector.Share{Alloc: c.Int64(scheduling.AllocatableMemory), Used: c.Int64(scheduling.RequestedMemory), Want: c.Pod().Memory()})
}
