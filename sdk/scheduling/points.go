package scheduling

import (
	"github.com/pintle-io/pintle/sdk/client"
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
	// Reserve runs when a node has been chosen for a pod. A refusal sends the pod
	// back to try again. It may keep something in the placement's State and
	// [Placement.Assume] how objects are going to be. Like PreFilter it takes part in
	// decisions, of which there is one at a time: it must be quick.
	Reserve func(*Placement) *Status
	// Unreserve runs when nothing comes of a placement that was reserved: another
	// plugin refused, PreBind or the binding failed, the pod is gone. What Reserve
	// assumed is undone without it.
	Unreserve func(*Placement)
	// PreFlight tells, after Reserve, whether PreBind has something to do for this
	// pod; nil: always. A pod that needs no PreBind is bound at once, in a batch.
	PreFlight func(*Placement) bool
	// PreBind does what must be done before the pod is bound, and may write with the
	// client, under the permissions of the Plugin. Nil status: the pod may be bound.
	// [Wait]: ask again later. [Unschedulable]: the placement is given up, and the pod
	// tried again after its back-off. It runs beside decisions, of several pods at the
	// same time, each on an instance of its own, and is asked again from the start
	// after a restart of the server: it must be idempotent.
	PreBind func(*Placement, client.Client) *Status
	// Objects are the resources whose objects the plugin reads by [Snapshot.Get] and
	// [Snapshot.List], or waits for in PreBind, such as "v1/persistentvolumeclaims". The
	// scheduler follows them; the Plugin must be allowed to list and watch them.
	Objects []string
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
		{p.Normalize != nil, wire.PointNormalize}, {p.Reserve != nil || p.Unreserve != nil, wire.PointReserve}, {p.PreBind != nil, wire.PointPreBind},
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

// reserves tells whether the plugin has a say once a node has been chosen.
func (p *Points) reserves() bool {
	return p.Reserve != nil || p.Unreserve != nil || p.PreBind != nil
}

func (p *Points) scores() bool { return p.Score != nil || p.ScoreAll != nil }

// Open is called by the hosts.
func (p *Points) Open(h instance.Host) instance.Instance {
	s, err := newServer(h.Plugin, p, h.Call)
	if err != nil {
		panic(err)
	}
	return &opened{server: s, points: p}
}

// opened is the points as the dispatcher of a guest sees them.
type opened struct {
	server *server
	points *Points
}

func (o *opened) Describe(m *wire.Manifest) {
	m.Points |= o.points.points()
	m.Scope = uint8(o.points.Scope)
	m.Implements = append(m.Implements, o.points.Implements...)
}

func (o *opened) Serves(op wire.Op) bool { return op >= wire.OpScheduling }

func (o *opened) Serve(out []byte, op wire.Op, req, region []byte) ([]byte, error) {
	resp, err := o.server.handle(op, req, region)
	return append(out, resp...), err
}

func (o *opened) Close() {
	if o.points.Close != nil {
		o.points.Close()
	}
}
