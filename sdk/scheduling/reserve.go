package scheduling

import (
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/remote"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// placement is what a member is asked about.
func placement(p schedule.PodRef, node string) Placement {
	return Placement{Namespace: p.Namespace, PodName: p.Name, UID: p.UID, NodeName: node}
}

// member returns one that was named, when it is there.
func (s *server) member(i int) (*member, error) {
	if i < 0 || i >= len(s.members) {
		return nil, wire.Errorf(wire.KindProtocol, "member %d of %d", i, len(s.members))
	}
	return &s.members[i], nil
}

// reserve tells members of the node that was chosen. When one refuses, those that
// were told before it are told that nothing comes of it.
func (s *server) reserve(req, region []byte) ([]byte, error) {
	q, err := schedule.ReadReserve(req)
	if err != nil {
		return nil, err
	}
	if q.Row < 0 || q.Row >= s.snap.rows {
		return nil, wire.Errorf(wire.KindProtocol, "row %d of %d", q.Row, s.snap.rows)
	}
	if err := s.podMemory.open(q.Record, &s.fields); err != nil {
		s.pod = nil
		return nil, wire.Errorf(wire.KindProtocol, "pod: %v", err)
	}
	s.pod = nil // no cycle follows on this pod
	if err := s.snap.bind(region); err != nil {
		return nil, err
	}
	node := Node{&s.snap, uint32(q.Row)}
	a := schedule.ReserveAnswer{}
	for _, i := range q.Members {
		m, err := s.member(i)
		if err != nil {
			return nil, err
		}
		p := placement(q.Pod, node.Name())
		p.pod, p.node = &s.podMemory, node
		st := m.points.reserve(&p)
		if st != nil && st.Code == CodeError {
			s.giveUp(q.Pod, p.NodeName, a.Reservations)
			return nil, wire.Errorf(wire.KindPlugin, "%s", reasonOf(st, m.name))
		}
		if st.Rejected() {
			s.giveUp(q.Pod, p.NodeName, a.Reservations)
			a.RejectedBy, a.Reasons, a.Reservations = i+1, orDefault(st.Reasons, m.name), nil
			break
		}
		a.Reservations = append(a.Reservations, schedule.Reservation{Member: i, PreBind: m.points.flies(&p), State: p.State, Assumed: p.assumed})
	}
	s.out = a.Append(s.out[:0])
	return s.out, nil
}

// giveUp tells members, the last first, that what they reserved is not needed.
func (s *server) giveUp(pod schedule.PodRef, node string, list []schedule.Reservation) {
	for k := len(list) - 1; k >= 0; k-- {
		if f := s.members[list[k].Member].points.Unreserve; f != nil {
			p := placement(pod, node)
			p.State = list[k].State
			f(&p)
		}
	}
}

func (p *Points) reserve(x *Placement) *Status {
	if p.Reserve == nil {
		return nil
	}
	return p.Reserve(x)
}

// flies tells whether PreBind has something to do.
func (p *Points) flies(x *Placement) bool {
	return p.PreBind != nil && (p.PreFlight == nil || p.PreFlight(x))
}

// unreserve tells one member.
func (s *server) unreserve(req []byte) error {
	q, err := schedule.ReadUnreserve(req)
	if err != nil {
		return err
	}
	if _, err := s.member(q.Member); err != nil {
		return err
	}
	s.giveUp(q.Pod, q.Node, []schedule.Reservation{{Member: q.Member, State: q.State}})
	return nil
}

// preBind asks one member how far it is.
func (s *server) preBind(req []byte) ([]byte, error) {
	q, err := schedule.ReadPreBind(req)
	if err != nil {
		return nil, err
	}
	m, err := s.member(q.Member)
	if err != nil {
		return nil, err
	}
	if m.points.PreBind == nil {
		return nil, wire.Errorf(wire.KindUnsupported, "%s has no PreBind", m.name)
	}
	if s.client == nil {
		s.client = remote.NewClient(s.call)
	}
	p := placement(q.Pod, q.Node)
	p.State, p.Elapsed = q.State, q.Elapsed
	a, err := preBound(m.points.PreBind(&p, s.client), m.name)
	if err != nil {
		return nil, err
	}
	a.State = p.State
	s.out = a.Append(s.out[:0])
	return s.out, nil
}

// preBound is the answer that a status is.
func preBound(st *Status, name string) (schedule.PreBindAnswer, error) {
	switch {
	case st == nil || st.Code == CodeSuccess || st.Code == CodeSkip:
		return schedule.PreBindAnswer{}, nil
	case st.Code == CodeWait:
		return schedule.PreBindAnswer{Outcome: schedule.PreBindWait, After: st.after, Until: st.until}, nil
	case st.Code == CodeError:
		return schedule.PreBindAnswer{}, wire.Errorf(wire.KindPlugin, "%s", reasonOf(st, name))
	}
	return schedule.PreBindAnswer{Outcome: schedule.PreBindRefused, Reasons: orDefault(st.Reasons, name)}, nil
}

// reasonOf is why a plugin has no answer.
func reasonOf(st *Status, name string) string {
	if len(st.Reasons) == 0 {
		return name + " gave no reason"
	}
	return st.Reasons[0]
}

// kernel is how a server asks the kernel.
type kernel struct {
	call   wire.HostCall
	client client.Client // of PreBind; made when it is needed
}
