package sdk

import (
	"strings"

	"github.com/pintle-io/pintle/sdk/columns"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Scheduling operations. Every guest that serves a scheduling point answers
// them with [Scheduling.Handle]; frames are described at sched_frames.go.
const (
	// OpDescribe () → []MemberInfo: the plugins that the instance holds.
	OpDescribe = wire.OpScheduling + iota
	// OpProfile ([]MemberUse) → (): which of them filter, and their weights.
	OpProfile
	// OpSnapshot (columns.Delta) → (): tables and layout changed. The pod is
	// forgotten: OpPreFilter follows before the next cycle.
	OpSnapshot
	// OpPreFilter (pod record) → PreFilterAnswer.
	OpPreFilter
	// OpCycle (CycleRequest) → CycleAnswer; feasibility, reasons and scores are
	// in the result columns of the region.
	OpCycle
	// OpNormalize (member, rows) → (): scores in the region are normalized in
	// place.
	OpNormalize
)

// maxReasons bounds the distinct statuses of one pod; more are reported as
// one.
const maxReasons = 512

// Scheduling serves the scheduling operations of one opened plugin. It is used
// by one goroutine at a time.
type Scheduling struct {
	members []member
	snap    Snapshot
	pod     *Pod

	reasons   []ReasonInfo
	reasonIDs map[string]uint32
	sent      int // reasons that the kernel knows

	alive  columns.Mask
	scores []int64
	now    Cycle // the call under way
	out    []byte
	res    results
	resOf  *byte // the region that res lies in
}

type member struct {
	name   string
	points *Points
	filter bool  // used as a filter
	weight int64 // 0: not used as a score
	usual  int64 // the weight unless the profile says otherwise
	column uint32
	// skipFilter and skipScore hold for the pod.
	skipFilter, skipScore bool
	// last remembers the id of the last status.
	last   *Status
	lastID uint32
}

// NewScheduling prepares to serve the points of an opened plugin, or those of
// its members.
func NewScheduling(name string, p *Points) *Scheduling {
	s := &Scheduling{}
	list := p.Members
	if len(list) == 0 {
		list = []Member{{Name: name, Points: p}}
	}
	column := uint32(0)
	for _, m := range list {
		if m.Points == nil {
			continue
		}
		x := member{name: m.Name, points: m.Points, filter: m.Points.filters(), weight: max(m.Weight, 1)}
		if !m.Points.scores() {
			x.weight = 0
		} else if m.Points.Normalize != nil || m.Points.Scaling != ScaleNone {
			column++
			x.column = column
		}
		x.usual = x.weight
		s.members = append(s.members, x)
	}
	return s
}

func (p *Points) filters() bool {
	return p.PreFilter != nil || p.Filter != nil || p.FilterAll != nil
}

func (p *Points) scores() bool { return p.Score != nil || p.ScoreAll != nil }

// Schedules tells whether the points include any of scheduling.
func (p *Points) Schedules() bool { return p.filters() || p.scores() || len(p.Members) > 0 }

// Handle answers one operation. region is the memory shared with the kernel.
// The answer is valid until the next call.
func (s *Scheduling) Handle(op wire.Op, req, region []byte) ([]byte, error) {
	switch op {
	case OpDescribe:
		return appendMembers(nil, s.describe()), nil
	case OpProfile:
		return nil, s.profile(req)
	case OpSnapshot:
		return nil, s.snapshot(req, region)
	case OpPreFilter:
		return s.preFilter(req)
	case OpCycle:
		return s.cycle(req, region)
	case OpNormalize:
		return nil, s.normalize(req, region)
	}
	return nil, wire.Errorf(wire.KindUnsupported, "%v", op)
}

func (s *Scheduling) describe() []MemberInfo {
	out := make([]MemberInfo, len(s.members))
	for i, m := range s.members {
		p := m.points
		out[i] = MemberInfo{Name: m.name, Filters: p.filters(), Scores: p.scores(), Scope: p.Scope,
			Scaling: p.Scaling, Normalizes: p.Normalize != nil, Column: m.column, Weight: m.usual, Events: p.Events}
	}
	return out
}

func (s *Scheduling) profile(req []byte) error {
	uses, err := readUses(req)
	if err != nil {
		return err
	}
	if len(uses) != len(s.members) {
		return wire.Errorf(wire.KindProtocol, "profile for %d plugins, there are %d", len(uses), len(s.members))
	}
	for i, u := range uses {
		m := &s.members[i]
		m.filter = u.Filter && m.points.filters()
		m.weight = 0
		if m.points.scores() {
			m.weight = u.Weight
		}
	}
	s.pod = nil
	return nil
}

func (s *Scheduling) snapshot(req, region []byte) error {
	d, err := columns.ReadDelta(req)
	if err != nil {
		return err
	}
	s.pod = nil
	if d.Layout {
		s.res, s.resOf = results{}, nil
	}
	return s.snap.apply(d, region)
}

func (s *Scheduling) preFilter(req []byte) ([]byte, error) {
	pod, err := DecodePod(req)
	if err != nil {
		return nil, err
	}
	s.pod = pod
	s.reasons, s.sent = s.reasons[:0], 0
	clear(s.reasonIDs)
	var a PreFilterAnswer
	for i := range s.members {
		m := &s.members[i]
		m.last, m.skipFilter, m.skipScore = nil, false, false
		s.snap.reads = 0
		if m.filter && m.points.PreFilter != nil && a.RejectedBy == 0 {
			s.answer(&a, i, m.points.PreFilter(pod, &s.snap))
		}
		if m.weight != 0 && m.points.PreScore != nil {
			st := m.points.PreScore(pod, &s.snap)
			m.skipScore = st != nil && st.Code == CodeSkip
		}
		if m.points.Scope == Cluster && s.snap.reads != 0 {
			s.snap.reads = ReadAgain
		}
		a.Reads |= s.snap.reads
	}
	a.Reads |= pod.reads
	s.out = a.append(s.out[:0])
	return s.out, nil
}

// answer notes what the PreFilter of member i said.
func (s *Scheduling) answer(a *PreFilterAnswer, i int, st *Status) {
	m := &s.members[i]
	switch {
	case st == nil:
	case st.Rejected():
		a.RejectedBy, a.Unresolvable = i+1, st.Code == CodeUnresolvable
		a.Reasons = orDefault(st.Reasons, m.name)
	case st.Code == CodeSkip:
		m.skipFilter = true
	case len(st.Nodes) > 0:
		a.Only = append(a.Only, OnlyNodes{Member: i, Nodes: st.Nodes})
	}
}

func orDefault(reasons []string, name string) []string {
	if len(reasons) == 0 {
		return []string{"node(s) were rejected by " + name}
	}
	return reasons
}

// reason numbers a status of member i, from 1.
func (s *Scheduling) reason(i int, st *Status) uint32 {
	m := &s.members[i]
	if m.last == st && st != nil {
		return m.lastID
	}
	info := ReasonInfo{Member: i, Unresolvable: st.Code == CodeUnresolvable, Reasons: orDefault(st.Reasons, m.name)}
	key := info.key()
	id, ok := s.reasonIDs[key]
	if !ok {
		if len(s.reasons) >= maxReasons {
			info = ReasonInfo{Member: i, Reasons: []string{"node(s) were rejected by " + m.name + " for too many different reasons"}}
			key = info.key()
			id, ok = s.reasonIDs[key]
		}
		if !ok {
			s.reasons = append(s.reasons, info)
			id = uint32(len(s.reasons))
			if s.reasonIDs == nil {
				s.reasonIDs = map[string]uint32{}
			}
			s.reasonIDs[key] = id
		}
	}
	m.last, m.lastID = st, id
	return id
}

func (r *ReasonInfo) key() string {
	code := "u"
	if r.Unresolvable {
		code = "r"
	}
	return code + string(rune(r.Member)) + strings.Join(r.Reasons, "\x00")
}
