package scheduling

import (
	"strings"

	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// maxReasons bounds the distinct statuses of one pod; more are reported as
// one.
const maxReasons = 512

// server serves the scheduling operations of one opened plugin. It is used
// by one goroutine at a time.
type server struct {
	members []member
	snap    Snapshot
	pod     *Pod

	reasons   []schedule.ReasonInfo
	reasonIDs map[string]uint32
	sent      int // reasons that the kernel knows

	alive  vector.Mask
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

// newServer prepares to serve the points of an opened plugin, or those of
// its members.
func newServer(name string, p *Points) *server {
	s := &server{}
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

// handle answers one operation. region is the memory shared with the kernel.
// The answer is valid until the next call.
func (s *server) handle(op wire.Op, req, region []byte) ([]byte, error) {
	switch op {
	case schedule.OpDescribe:
		return schedule.AppendMembers(nil, s.describe()), nil
	case schedule.OpProfile:
		return nil, s.profile(req)
	case schedule.OpSnapshot:
		return nil, s.snapshot(req, region)
	case schedule.OpPreFilter, schedule.OpCycle, schedule.OpNormalize:
		return s.ask(op, req, region)
	}
	return nil, wire.Errorf(wire.KindUnsupported, "%v", op)
}

// ask puts a question to the plugins. When they looked at columns that they do
// not have, the answer names these and nothing else: it was made from zeros,
// and so were a panic and an error.
func (s *server) ask(op wire.Op, req, region []byte) (resp []byte, err error) {
	returned := false
	defer func() {
		missing := s.snap.asks.take()
		if len(missing) == 0 {
			if e := s.snap.asks.err(); returned && err == nil && e != nil {
				resp, err = nil, e
			}
			return // and the panic goes on, if there is one
		}
		if !returned {
			_ = recover()
		}
		resp, err = s.missing(op, missing), nil
	}()
	switch op {
	case schedule.OpPreFilter:
		resp, err = s.preFilter(req)
	case schedule.OpCycle:
		resp, err = s.cycle(req, region)
	case schedule.OpNormalize:
		resp, err = []byte{0}, s.normalize(req, region)
	}
	returned = true
	return resp, err
}

// missing is the answer when columns are.
func (s *server) missing(op wire.Op, list []columns.Ref) []byte {
	switch op {
	case schedule.OpPreFilter:
		a := schedule.PreFilterAnswer{Missing: list}
		return a.Append(nil)
	case schedule.OpCycle:
		a := schedule.CycleAnswer{Missing: list}
		return a.Append(nil)
	}
	return columns.AppendRefs(nil, list)
}

func (s *server) describe() []schedule.MemberInfo {
	out := make([]schedule.MemberInfo, len(s.members))
	for i, m := range s.members {
		p := m.points
		out[i] = schedule.MemberInfo{Name: m.name, Filters: p.filters(), Scores: p.scores(), Scope: p.Scope,
			Scaling: p.Scaling, Normalizes: p.Normalize != nil, Column: m.column, Weight: m.usual, Events: p.Events}
		for _, id := range p.Columns {
			out[i].Columns = append(out[i].Columns, columns.Ref{ID: id, Name: nameOf(id)})
			s.snap.asks.know(id)
		}
	}
	return out
}

func (s *server) profile(req []byte) error {
	uses, err := schedule.ReadUses(req)
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

func (s *server) snapshot(req, region []byte) error {
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

func (s *server) preFilter(req []byte) ([]byte, error) {
	info, err := schedule.DecodePod(req)
	if err != nil {
		return nil, err
	}
	pod := NewPod(info)
	s.pod = pod
	s.reasons, s.sent = s.reasons[:0], 0
	clear(s.reasonIDs)
	s.snap.forgetCounts()
	var a schedule.PreFilterAnswer
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
		if m.points.Scope == Cluster && s.snap.reads&^schedule.ReadDomains != 0 {
			s.snap.reads = schedule.ReadAgain
		}
		a.Reads |= s.snap.reads
	}
	a.Reads |= pod.reads
	a.Counts = s.snap.counts.asked
	s.out = a.Append(s.out[:0])
	return s.out, nil
}

// answer notes what the PreFilter of member i said.
func (s *server) answer(a *schedule.PreFilterAnswer, i int, st *Status) {
	m := &s.members[i]
	switch {
	case st == nil:
	case st.Rejected():
		a.RejectedBy, a.Unresolvable = i+1, st.Code == CodeUnschedulableAndUnresolvable
		a.Reasons = orDefault(st.Reasons, m.name)
	case st.Code == CodeSkip:
		m.skipFilter = true
	case len(st.Nodes) > 0:
		a.Only = append(a.Only, schedule.OnlyNodes{Member: i, Nodes: st.Nodes})
	}
}

func orDefault(reasons []string, name string) []string {
	if len(reasons) == 0 {
		return []string{"node(s) were rejected by " + name}
	}
	return reasons
}

// reason numbers a status of member i, from 1.
func (s *server) reason(i int, st *Status) uint32 {
	m := &s.members[i]
	if m.last == st && st != nil {
		return m.lastID
	}
	info := schedule.ReasonInfo{Member: i, Unresolvable: st.Code == CodeUnschedulableAndUnresolvable, Reasons: orDefault(st.Reasons, m.name)}
	key := keyOf(&info)
	id, ok := s.reasonIDs[key]
	if !ok {
		if len(s.reasons) >= maxReasons {
			info = schedule.ReasonInfo{Member: i, Reasons: []string{"node(s) were rejected by " + m.name + " for too many different reasons"}}
			key = keyOf(&info)
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

func keyOf(r *schedule.ReasonInfo) string {
	code := "u"
	if r.Unresolvable {
		code = "r"
	}
	return code + string(rune(r.Member)) + strings.Join(r.Reasons, "\x00")
}
