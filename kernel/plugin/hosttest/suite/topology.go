package suite

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "suite-spread", New: func([]byte) (sdk.Points, error) { return spread(), nil }})
	sdk.Register(sdk.Plugin{Name: "suite-apart", New: func([]byte) (sdk.Points, error) { return apart(), nil }})
}

var (
	skewed   = scheduling.Unschedulable("node(s) would skew the zones")
	tooClose = scheduling.Unschedulable("node(s) have a pod to keep away from")
	noZone   = scheduling.UnschedulableAndUnresolvable("node(s) have no zone")
)

// selectorOf is the pods that the pod's label "app" names.
func selectorOf(p *scheduling.Pod) (selector string, ok bool) {
	app, ok := p.Label("app")
	return "app=" + app, ok
}

// spread keeps the pods of one app even over the zones: none may have more than
// one pod more than the zone with the fewest.
func spread() *scheduling.Points {
	var pods scheduling.Counts
	return &scheduling.Points{
		PreFilter: func(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
			selector, ok := selectorOf(p)
			if !ok {
				return scheduling.Skip()
			}
			pods = s.CountPods(scheduling.PodCounts{TopologyKey: "zone", Namespaces: []string{p.Namespace()}, Selector: selector, SkipTerminating: true})
			return nil
		},
		FilterAll: func(c *scheduling.Cycle) {
			values, rows := pods.Values(c), c.Mask()
			vector.Below(rows, values, 0)
			c.Reject(rows, noZone)
			vector.Outside(rows, values, 0, pods.Min())
			c.Reject(rows, skewed)
		},
	}
}

// apart puts no two pods of one app on the nodes of one host, in any namespace.
func apart() *scheduling.Points {
	var pods scheduling.Counts
	return &scheduling.Points{
		PreFilter: func(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
			selector, ok := selectorOf(p)
			if !ok {
				return scheduling.Skip()
			}
			pods = s.CountPods(scheduling.PodCounts{TopologyKey: "host", Selector: selector})
			return nil
		},
		Filter: func(_ *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if have, _ := pods.Of(n); have > 0 {
				return tooClose
			}
			return nil
		},
	}
}
