// Package tainttoleration is the scheduling filter for taints that a pod does
// not tolerate, and the score that avoids PreferNoSchedule taints.
package tainttoleration

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "TaintToleration"

var untolerated = scheduling.UnschedulableAndUnresolvable("node(s) had untolerated taint(s)")

func init() {
	sdk.Register(sdk.Plugin{Name: "tainttoleration", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance; it takes no config.
func New([]byte) (*scheduling.Points, error) {
	t := &plugin{}
	return &scheduling.Points{
		PreFilter: t.preFilter, FilterAll: t.filter,
		PreScore: t.preScore, ScoreAll: t.score, Scaling: scheduling.ScaleReversed,
		Events: scheduling.NodeAdded | scheduling.NodeTaintsChanged,
	}, nil
}

// plugin holds the verdict on each distinct set of taints: nodes share a few.
type plugin struct {
	refused []uint8 // by taint set
	avoided []int64
}

func (t *plugin) preFilter(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
	t.refused = t.refused[:0]
	any := false
	for _, set := range s.TaintSets() {
		var bad uint8
		for _, taint := range set {
			if (taint.Effect == scheduling.NoSchedule || taint.Effect == scheduling.NoExecute) && !p.Tolerates(taint) {
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
	vector.Lookup(rows, c.Uint32(scheduling.TaintSet), t.refused)
	c.Reject(rows, untolerated)
}

func (t *plugin) preScore(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
	t.avoided = t.avoided[:0]
	any := false
	for _, set := range s.TaintSets() {
		var n int64
		for _, taint := range set {
			if taint.Effect == scheduling.PreferNoSchedule && !p.Tolerates(taint) {
				n++
				any = true
			}
		}
		t.avoided = append(t.avoided, n)
	}
	if !any {
		return scheduling.Skip()
	}
	return nil
}

func (t *plugin) score(c *scheduling.Cycle) {
	vector.LookupAdd(c.Scores(), c.Rows(), c.Uint32(scheduling.TaintSet), t.avoided)
}
