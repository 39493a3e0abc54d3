// Package tainttoleration is the scheduling filter for taints that a pod does
// not tolerate, and the score that avoids PreferNoSchedule taints.
package tainttoleration

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// Name of the plugin in profiles and messages.
const Name = "TaintToleration"

var untolerated = sdk.UnschedulableAndUnresolvable("node(s) had untolerated taint(s)")

func init() { sdk.Register(sdk.Plugin{Name: "tainttoleration", New: New}) }

// New makes an instance; it takes no config.
func New([]byte) (*sdk.Points, error) {
	t := &plugin{}
	return &sdk.Points{
		PreFilter: t.preFilter, FilterAll: t.filter,
		PreScore: t.preScore, ScoreAll: t.score, Scaling: sdk.ScaleReversed,
		Events: sdk.NodeAdded | sdk.NodeTaintsChanged,
	}, nil
}

// plugin holds the verdict on each distinct set of taints: nodes share a few.
type plugin struct {
	refused []uint8 // by taint set
	avoided []int64
}

func (t *plugin) preFilter(p *sdk.Pod, s *sdk.Snapshot) *sdk.Status {
	t.refused = t.refused[:0]
	any := false
	for _, set := range s.TaintSets() {
		var bad uint8
		for _, taint := range set {
			if (taint.Effect == sdk.NoSchedule || taint.Effect == sdk.NoExecute) && !p.Tolerates(taint) {
				bad, any = 1, true
				break
			}
		}
		t.refused = append(t.refused, bad)
	}
	if !any {
		return sdk.Skip()
	}
	return nil
}

func (t *plugin) filter(c *sdk.Cycle) {
	rows := c.Mask()
	columns.Lookup(rows, c.Uint32(columns.TaintSet), t.refused)
	c.Reject(rows, untolerated)
}

func (t *plugin) preScore(p *sdk.Pod, s *sdk.Snapshot) *sdk.Status {
	t.avoided = t.avoided[:0]
	any := false
	for _, set := range s.TaintSets() {
		var n int64
		for _, taint := range set {
			if taint.Effect == sdk.PreferNoSchedule && !p.Tolerates(taint) {
				n++
				any = true
			}
		}
		t.avoided = append(t.avoided, n)
	}
	if !any {
		return sdk.Skip()
	}
	return nil
}

func (t *plugin) score(c *sdk.Cycle) {
	columns.LookupAdd(c.Scores(), c.Rows(), c.Uint32(columns.TaintSet), t.avoided)
}
