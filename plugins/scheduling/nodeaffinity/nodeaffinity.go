// Package nodeaffinity is the scheduling filter for a pod's node selector and
// required node affinity, and the score for what it prefers.
package nodeaffinity

import (
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/nodeselector"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "NodeAffinity"

var (
	noMatch  = scheduling.UnschedulableAndUnresolvable("node(s) didn't match Pod's node affinity/selector")
	conflict = scheduling.UnschedulableAndUnresolvable("pod affinity terms conflict")
)

func init() {
	sdk.Register(sdk.Plugin{Name: "nodeaffinity", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance; it takes no config.
func New([]byte) (*scheduling.Points, error) {
	t := &plugin{}
	return &scheduling.Points{
		PreFilter: t.preFilter, FilterAll: t.filter,
		PreScore: t.preScore, ScoreAll: t.score, Scaling: scheduling.ScaleToMax,
		Events: scheduling.NodeAdded | scheduling.NodeLabelsChanged,
	}, nil
}

// plugin holds the pod's wishes, prepared for the tables of the snapshot.
type plugin struct {
	selector  []nodeselector.Condition
	required  []nodeselector.Term
	limited   bool // there is a required affinity; without terms it matches nothing
	preferred []preference
}

type preference struct {
	nodeselector.Term
	weight int64
}

func (t *plugin) preFilter(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
	a := p.Affinity()
	t.selector, t.required = t.selector[:0], t.required[:0]
	t.limited = a != nil && a.Required != nil
	if !t.limited && p.NodeSelector() == nil {
		return scheduling.Skip()
	}
	for k, v := range p.NodeSelector() {
		t.selector = append(t.selector, nodeselector.Label(s, k, v))
	}
	slices.SortFunc(t.selector, func(a, b nodeselector.Condition) int { return strings.Compare(a.Key(), b.Key()) })
	if !t.limited {
		return nil
	}
	for i := range a.Required.Terms {
		if x, ok := nodeselector.NewTerm(&a.Required.Terms[i], s); ok {
			t.required = append(t.required, x)
		}
	}
	return named(a.Required.Terms)
}

// named narrows the search when every term names its nodes, as the pods of a
// DaemonSet do.
func named(terms []scheduling.NodeTerm) *scheduling.Status {
	var all []string
	for i := range terms {
		var names []string
		found := false
		for _, q := range terms[i].Fields {
			if q.Key != nodeselector.FieldName || q.Operator != "In" {
				continue
			}
			if !found {
				names, found = slices.Clone(q.Values), true
				continue
			}
			names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(q.Values, n) })
		}
		if !found {
			return nil
		}
		all = append(all, names...)
	}
	if len(terms) == 0 {
		return nil
	}
	if len(all) == 0 {
		return conflict
	}
	slices.Sort(all)
	return scheduling.Only(slices.Compact(all)...)
}

func (t *plugin) filter(c *scheduling.Cycle) {
	fits, one := c.Mask(), c.Mask()
	fits.Fill(c.Len())
	for i := range t.selector {
		t.selector[i].Match(c, one)
		fits.And(one)
	}
	if t.limited {
		any, cond := c.Mask(), c.Mask()
		for i := range t.required {
			t.required[i].Match(c, one, cond)
			any.Or(one)
		}
		fits.And(any)
	}
	fits.Not(c.Len())
	c.Reject(fits, noMatch)
}

func (t *plugin) preScore(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
	t.preferred = t.preferred[:0]
	if a := p.Affinity(); a != nil {
		for i := range a.Preferred {
			if x, ok := nodeselector.NewTerm(&a.Preferred[i].Term, s); ok && a.Preferred[i].Weight > 0 {
				t.preferred = append(t.preferred, preference{x, int64(a.Preferred[i].Weight)})
			}
		}
	}
	if len(t.preferred) == 0 {
		return scheduling.Skip()
	}
	return nil
}

func (t *plugin) score(c *scheduling.Cycle) {
	rows, cond := c.Mask(), c.Mask()
	for i := range t.preferred {
		t.preferred[i].Match(c, rows, cond)
		rows.And(c.Rows())
		vector.AddConst(c.Scores(), rows, t.preferred[i].weight)
	}
}
