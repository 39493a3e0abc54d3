package scheduling

import (
	"fmt"
	"strings"

	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/remote"
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
	pod     *Pod        // nil: there is none
	fields  declaration // of pods

	podMemory Pod // what pod points to
	question  schedule.CycleRequest
	reasons   []schedule.ReasonInfo
	reasonIDs map[string]uint32
	sent      int // reasons that the kernel knows

	alive  vector.Mask
	scores []int64
	now    Cycle // the call under way
	out    []byte
	res    results
	resOf  *byte // the region that res lies in

	kernel
}

type member struct {
	name   string
	points *Points
	fields *record.Fields // that are known to be read; nil for none
	filter bool           // used as a filter
	weight int64          // 0: not used as a score
	usual  int64          // the weight unless the profile says otherwise
	column uint32
	// skipFilter and skipScore hold for the pod.
	skipFilter, skipScore bool
	// last remembers the id of the last status.
	last   *Status
	lastID uint32
}

// newServer prepares to serve the points of an opened plugin, or those of
// its members. A malformed path is an error.
func newServer(name string, p *Points, call wire.HostCall) (*server, error) {
	s := &server{kernel: kernel{call: call}}
	if call != nil {
		s.snap.reader = remote.NewReader(call)
	}
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
		if len(m.Points.Fields) > 0 {
			var err error
			if x.fields, err = record.FieldsOfPaths(m.Points.Fields...); err != nil {
				return nil, fmt.Errorf("scheduling.Points.Fields of %s: %w", m.Name, err)
			}
		}
		s.members = append(s.members, x)
	}
	return s, nil
}

// handle answers one operation. region is the memory shared with the kernel.
// The answer is valid until the next call.
func (s *server) handle(op wire.Op, req, region []byte) ([]byte, error) {
	switch op {
	case schedule.OpDescribe:
		return schedule.AppendMembers(nil, s.describe()), nil
	case schedule.OpProfile:
		return s.profile(req)
	case schedule.OpSnapshot:
		return nil, s.snapshot(req, region)
	case schedule.OpUnreserve:
		return nil, s.unreserve(req)
	case schedule.OpPreBind:
		return s.preBind(req)
	case schedule.OpPreFilter, schedule.OpCycle, schedule.OpNormalize, schedule.OpReserve:
		return s.ask(op, req, region)
	}
	return nil, wire.Errorf(wire.KindUnsupported, "%v", op)
}

// ask puts a question to the plugins. When they looked at columns, or fields of
// the pod, that they do not have, the answer names these and nothing else: it was
// made from zeros, and so were a panic and an error.
func (s *server) ask(op wire.Op, req, region []byte) (resp []byte, err error) {
	returned := false
	defer func() {
		missing := s.missing()
		if !missing.Any() {
			if e := s.refused(); returned && err == nil && e != nil {
				resp, err = nil, e
			}
			return // and the panic goes on, if there is one
		}
		if !returned {
			_ = recover()
		}
		resp, err = answer(op, missing), nil
	}()
	switch op {
	case schedule.OpPreFilter:
		resp, err = s.preFilter(req)
	case schedule.OpCycle:
		resp, err = s.cycle(req, region)
	case schedule.OpReserve:
		resp, err = s.reserve(req, region)
	case schedule.OpNormalize:
		resp, err = (&schedule.Missing{}).Append(nil), s.normalize(req, region)
	}
	returned = true
	return resp, err
}

// missing takes what was looked at and is not there.
func (s *server) missing() schedule.Missing {
	m := schedule.Missing{Columns: s.snap.asks.take()}
	if s.fields.changed {
		m.Fields = s.fields.text()
		s.pod = nil // it does not have them
	}
	return m
}

// refused tells of what the kernel did not give, or not as it should be.
func (s *server) refused() error {
	if s.pod != nil && s.pod.err != nil {
		return wire.Errorf(wire.KindProtocol, "%v", s.pod.err)
	}
	return s.snap.asks.err()
}

// answer is the one when something is missing.
func answer(op wire.Op, missing schedule.Missing) []byte {
	switch op {
	case schedule.OpPreFilter:
		a := schedule.PreFilterAnswer{Missing: missing}
		return a.Append(nil)
	case schedule.OpCycle:
		a := schedule.CycleAnswer{Missing: missing}
		return a.Append(nil)
	case schedule.OpReserve:
		a := schedule.ReserveAnswer{Missing: missing}
		return a.Append(nil)
	}
	return missing.Append(nil)
}

func (s *server) describe() []schedule.MemberInfo {
	out := make([]schedule.MemberInfo, len(s.members))
	for i, m := range s.members {
		p := m.points
		out[i] = schedule.MemberInfo{Name: m.name, Filters: p.filters(), Scores: p.scores(), Scope: p.Scope,
			Scaling: p.Scaling, Normalizes: p.Normalize != nil, Column: m.column, Weight: m.usual, Events: p.Events,
			Reserves: p.Reserve != nil, Unreserves: p.Unreserve != nil, PreBinds: p.PreBind != nil, Objects: p.Objects}
		for _, id := range p.Columns {
			out[i].Columns = append(out[i].Columns, columns.Ref{ID: id, Name: nameOf(id)})
			s.snap.asks.know(id)
		}
	}
	return out
}

func (s *server) profile(req []byte) ([]byte, error) {
	uses, err := schedule.ReadUses(req)
	if err != nil {
		return nil, err
	}
	if len(uses) != len(s.members) {
		return nil, wire.Errorf(wire.KindProtocol, "profile for %d plugins, there are %d", len(uses), len(s.members))
	}
	for i, u := range uses {
		m := &s.members[i]
		m.filter = u.Filter && m.points.filters()
		m.weight = 0
		if m.points.scores() {
			m.weight = u.Weight
		}
		if m.fields != nil && (m.filter || m.weight != 0) {
			s.fields.has(m.fields)
		}
	}
	s.pod = nil
	return wire.AppendOptional(nil, s.fields.text()), nil
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
	if err := s.podMemory.open(req, &s.fields); err != nil {
		s.pod = nil
		return nil, wire.Errorf(wire.KindProtocol, "pod: %v", err)
	}
	pod := &s.podMemory
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
			st := m.points.PreFilter(pod, &s.snap)
			if st != nil && st.Code == CodeError {
				return nil, wire.Errorf(wire.KindPlugin, "%s", reasonOf(st, m.name))
			}
			s.note(&a, i, st)
		}
		if m.points.reserves() && !m.skipFilter && (m.filter || !m.points.filters()) {
			a.Reserving = append(a.Reserving, i)
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
	a.Counts = s.snap.counts.asked
	s.out = a.Append(s.out[:0])
	return s.out, nil
}

// note adds what the PreFilter of member i said.
func (s *server) note(a *schedule.PreFilterAnswer, i int, st *Status) {
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
