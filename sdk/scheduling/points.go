package scheduling

import (
	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Points are the extension points of scheduling that an instance serves. A nil
// field is not served and costs nothing.
// RATIONALE.md: "Why are extension points fields of a struct and not
// interfaces?"
type Points struct {
	// Scope tells what Filter and Score depend on; see [Scope].
	Scope Scope

	// PreFilter runs once per pod before Filter. Nil status: go on. [Skip]:
	// this plugin's Filter need not run for this pod. [Unschedulable]: no node
	// fits.
	PreFilter func(*Pod, *Snapshot) *Status
	// Filter tells whether the pod fits one node; nil status: it does.
	Filter func(*Pod, Node) *Status
	// FilterAll is the hot form of Filter over many nodes with vector
	// operations. When set, Filter is not called.
	FilterAll func(*Cycle)
	// PreScore runs once per pod before Score. [Skip] is allowed.
	PreScore func(*Pod, *Snapshot) *Status
	// Score ranks one node for the pod, 0 to 100.
	Score func(*Pod, Node) int64
	// ScoreAll is the hot form of Score. When set, Score is not called.
	ScoreAll func(*Cycle)
	// Normalize sees the scores of all feasible nodes and may change them.
	Normalize func(*Pod, *Scores)
	// Scaling says how raw scores become 0..100 when Normalize is not set.
	Scaling Scaling
	// Events are the changes after which a pod that this plugin rejected is
	// tried again; 0 means any.
	Events ClusterEvent
	// Columns are those that the plugin is known to read. It need not name
	// any: what it looks at is noticed, and the first pod is then asked about
	// again.
	Columns []Column
	// Fields are paths of what the plugin is known to read of pods, such as
	// "spec.topologySpreadConstraints". It need not name any, as with Columns.
	Fields []string
	// Members, when set, are scheduling plugins that are asked together in
	// place of the fields above; see [Member].
	Members []Member
	// Implements are the resources whose objects the filters and scores obey, as
	// "policy/v1/poddisruptionbudgets": whoever creates one is not told that
	// nobody does.
	Implements []string

	// Close, when set, is called before the instance is discarded in order.
	// It is not called after a fault.
	Close func()
}

// points is the set of those that are served, by the members if there are any.
func (p *Points) points() wire.Point {
	var out wire.Point
	for _, x := range []struct {
		served bool
		point  wire.Point
	}{
		{p.PreFilter != nil, wire.PointPreFilter}, {p.Filter != nil, wire.PointFilter}, {p.FilterAll != nil, wire.PointFilterAll},
		{p.PreScore != nil, wire.PointPreScore}, {p.Score != nil, wire.PointScore}, {p.ScoreAll != nil, wire.PointScoreAll},
		{p.Normalize != nil, wire.PointNormalize},
	} {
		if x.served {
			out |= x.point
		}
	}
	for _, m := range p.Members {
		if m.Points != nil {
			out |= m.Points.points()
		}
	}
	return out
}

func (p *Points) filters() bool {
	return p.PreFilter != nil || p.Filter != nil || p.FilterAll != nil
}

func (p *Points) scores() bool { return p.Score != nil || p.ScoreAll != nil }

// Open is called by the hosts.
func (p *Points) Open(h instance.Host) instance.Instance {
	s, err := newServer(h.Plugin, p)
	if err != nil {
		panic(err)
	}
	return &opened{server: s, points: p}
}

// opened is the points as the dispatcher of a guest sees them.
type opened struct {
	*server
	points *Points
}

func (o *opened) Describe(m *wire.Manifest) {
	m.Points |= o.points.points()
	m.Scope = uint8(o.points.Scope)
	m.Implements = append(m.Implements, o.points.Implements...)
}

func (o *opened) Serves(op wire.Op) bool { return op >= wire.OpScheduling }

func (o *opened) Serve(out []byte, op wire.Op, req, region []byte) ([]byte, error) {
	resp, err := o.handle(op, req, region)
	return append(out, resp...), err
}

func (o *opened) Close() {
	if o.points.Close != nil {
		o.points.Close()
	}
}
