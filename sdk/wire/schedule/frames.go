package schedule

import (
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// The operations that a guest answers which serves a scheduling point.
const (
	// OpDescribe () → []MemberInfo: the plugins that the instance holds.
	OpDescribe = wire.OpScheduling + iota
	// OpProfile ([]MemberUse) → fields?: which of them filter, and their weights;
	// what these are known to read of pods.
	OpProfile
	// OpSnapshot ([columns.Delta]) → (): tables and layout changed. The pod is
	// forgotten: OpPreFilter follows before the next cycle.
	OpSnapshot
	// OpPreFilter (record of the pod, empty when nothing is declared) →
	// PreFilterAnswer.
	OpPreFilter
	// OpCycle (CycleRequest) → CycleAnswer; feasibility, reasons and scores are
	// in the result columns of the region.
	OpCycle
	// OpNormalize (member, rows) → Missing: scores in the region are normalized in
	// place.
	OpNormalize
	// OpReserve (ReserveRequest) → ReserveAnswer: a node was chosen for a pod. Since
	// 2.4, as what follows.
	OpReserve
	// OpUnreserve (UnreserveRequest) → (): the pod does not go there after all.
	OpUnreserve
	// OpPreBind (PreBindRequest) → PreBindAnswer: what must be before the pod is
	// bound. Instances are asked that have neither region nor profile.
	OpPreBind
)

// MemberInfo is what the kernel learns of a scheduling plugin.
type MemberInfo struct {
	Name            string
	Filters, Scores bool
	Scope           Scope
	Scaling         Scaling
	Normalizes      bool
	// Column is the key of the score column that raw scores go to; 0 for a
	// plugin whose scores are summed with their weight.
	Column uint32
	// Weight of the score unless the profile says otherwise.
	Weight int64
	Events ClusterEvent
	// Columns that it is known to read before it is asked anything.
	Columns []columns.Ref
	// Reserves, Unreserves and PreBinds tell which of these points it serves.
	// Since 2.4.
	Reserves, Unreserves, PreBinds bool
	// Objects are the resources whose objects it reads. Since 2.4.
	Objects []string
}

// MemberUse says how a profile uses a plugin.
type MemberUse struct {
	Filter bool
	Weight int64 // 0: not scored
}

// PreFilterAnswer is what the PreFilters of an instance said.
type PreFilterAnswer struct {
	Reads Reads
	// RejectedBy is the index of the member that says that no node fits, plus
	// one; 0 when none did.
	RejectedBy   int
	Unresolvable bool
	Reasons      []string
	Only         []OnlyNodes
	// Counts are those that the filters and scores of this pod look at.
	Counts  []PodCounts
	Missing Missing
	// Reserving are the members that are to be asked when a node has been chosen for
	// a pod like this one. Since 2.4.
	Reserving []int
}

// Missing is what plugins looked at and were not given. When there is any, the
// rest of the answer says nothing, and the question is put again, from
// OpPreFilter on, with what is missing.
type Missing struct {
	Columns []columns.Ref
	// Fields, when not nil, is what is declared of pods from now on, as
	// record.Fields has it; it covers what was declared before.
	Fields *string
}

// Any tells whether something is missing.
func (m *Missing) Any() bool { return len(m.Columns) > 0 || m.Fields != nil }

// Append encodes what is missing.
func (m *Missing) Append(b []byte) []byte {
	return wire.AppendOptional(columns.AppendRefs(b, m.Columns), m.Fields)
}

func readMissing(r *wire.Reader) Missing { return Missing{columns.ReadRefs(r), r.Optional()} }

// OnlyNodes narrows the nodes that can fit.
type OnlyNodes struct {
	Member int
	Nodes  []string
}

// CycleRequest asks about runs of rows. Answers are placed one after another,
// from position 0.
type CycleRequest struct {
	// Scope selects the members that run.
	Scope Scope
	// Masked: ResultFeasible holds the nodes that are left, by position.
	Masked bool
	Runs   []Run
	// Counts that the PreFilter of this pod asked for, in that order.
	Counts []CountsAt
}

// Run is a run of rows.
type Run struct{ Start, Count int }

// CycleAnswer comes with the result columns.
type CycleAnswer struct {
	Reads    Reads
	Feasible int
	// Reasons are new since the last answer for this pod. Ids in the
	// ResultReason column begin at 1 in the order of all of them.
	Reasons []ReasonInfo
	Missing Missing
}

// ReasonInfo is a status that one of the members gave to nodes.
type ReasonInfo struct {
	Member       int
	Unresolvable bool
	Reasons      []string
}

// AppendMembers encodes the answer of OpDescribe.
func AppendMembers(b []byte, list []MemberInfo) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for i := range list {
		b = wire.AppendBytes(b, list[i].append(nil))
	}
	return b
}

func (m *MemberInfo) append(b []byte) []byte {
	b = wire.AppendString(b, m.Name)
	b = wire.AppendBool(wire.AppendBool(b, m.Filters), m.Scores)
	b = append(b, byte(m.Scope), byte(m.Scaling))
	b = wire.AppendBool(b, m.Normalizes)
	b = wire.AppendInt(wire.AppendUint(b, uint64(m.Column)), m.Weight)
	b = columns.AppendRefs(wire.AppendUint(b, uint64(m.Events)), m.Columns)
	b = wire.AppendBool(wire.AppendBool(wire.AppendBool(b, m.Reserves), m.Unreserves), m.PreBinds)
	return wire.AppendStrings(b, m.Objects)
}

// ReadMembers reads the answer of OpDescribe.
func ReadMembers(b []byte) ([]MemberInfo, error) {
	r := wire.NewReader(b)
	var out []MemberInfo
	for range r.Count(11) {
		wire.ReadSized(r, func(r *wire.Reader) {
			m := MemberInfo{Name: r.Str(), Filters: r.Bool(), Scores: r.Bool(), Scope: Scope(r.Byte()),
				Scaling: Scaling(r.Byte()), Normalizes: r.Bool(), Column: uint32(r.Uint()), Weight: r.Int(), Events: ClusterEvent(r.Uint()), Columns: columns.ReadRefs(r)}
			if len(r.Rest()) > 0 { // since 2.4
				m.Reserves, m.Unreserves, m.PreBinds, m.Objects = r.Bool(), r.Bool(), r.Bool(), r.Strings()
			}
			out = append(out, m)
		})
	}
	return out, r.Err()
}

// AppendUses encodes an OpProfile request.
func AppendUses(b []byte, list []MemberUse) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for _, u := range list {
		b = wire.AppendInt(wire.AppendBool(b, u.Filter), u.Weight)
	}
	return b
}

// ReadUses reads an OpProfile request.
func ReadUses(b []byte) ([]MemberUse, error) {
	r := wire.NewReader(b)
	var out []MemberUse
	for range r.Count(2) {
		out = append(out, MemberUse{Filter: r.Bool(), Weight: r.Int()})
	}
	return out, r.Err()
}

// ReadFields reads the answer of OpProfile: what is declared of pods, nil for
// nothing.
func ReadFields(b []byte) (*string, error) {
	r := wire.NewReader(b)
	text := r.Optional()
	return text, r.Err()
}

// Append encodes the answer of OpPreFilter.
func (a *PreFilterAnswer) Append(b []byte) []byte {
	b = wire.AppendUint(b, uint64(a.Reads))
	b = wire.AppendUint(b, uint64(a.RejectedBy))
	b = wire.AppendBool(b, a.Unresolvable)
	b = wire.AppendStrings(b, a.Reasons)
	b = wire.AppendUint(b, uint64(len(a.Only)))
	for _, o := range a.Only {
		b = wire.AppendStrings(wire.AppendUint(b, uint64(o.Member)), o.Nodes)
	}
	return appendMembers(a.Missing.Append(appendCounts(b, a.Counts)), a.Reserving)
}

// ReadPreFilter reads the answer of OpPreFilter.
func ReadPreFilter(b []byte) (PreFilterAnswer, error) {
	r := wire.NewReader(b)
	a := PreFilterAnswer{Reads: Reads(r.Uint()), RejectedBy: int(r.Uint()), Unresolvable: r.Bool(), Reasons: r.Strings()}
	for range r.Count(2) {
		a.Only = append(a.Only, OnlyNodes{Member: int(r.Uint()), Nodes: r.Strings()})
	}
	a.Counts, a.Missing = readCounts(r), readMissing(r)
	if len(r.Rest()) > 0 { // since 2.4
		a.Reserving = readMembers(r)
	}
	return a, r.Err()
}

// Append encodes an OpCycle request.
func (q *CycleRequest) Append(b []byte) []byte {
	b = wire.AppendBool(append(b, byte(q.Scope)), q.Masked)
	b = wire.AppendUint(b, uint64(len(q.Runs)))
	for _, x := range q.Runs {
		b = wire.AppendUint(wire.AppendUint(b, uint64(x.Start)), uint64(x.Count))
	}
	return appendCountsAt(b, q.Counts)
}

// Read reads an OpCycle request; q.Runs is used again.
func (q *CycleRequest) Read(b []byte) error {
	r := wire.NewReader(b)
	q.Scope, q.Masked, q.Runs = Scope(r.Byte()), r.Bool(), q.Runs[:0]
	for range r.Count(2) {
		q.Runs = append(q.Runs, Run{Start: int(r.Uint()), Count: int(r.Uint())})
	}
	q.Counts = readCountsAt(r, q.Counts)
	return r.Err()
}

// Append encodes the answer of OpCycle.
func (a *CycleAnswer) Append(b []byte) []byte {
	b = wire.AppendUint(b, uint64(a.Reads))
	b = wire.AppendUint(b, uint64(a.Feasible))
	b = wire.AppendUint(b, uint64(len(a.Reasons)))
	for _, x := range a.Reasons {
		b = wire.AppendUint(b, uint64(x.Member))
		b = wire.AppendStrings(wire.AppendBool(b, x.Unresolvable), x.Reasons)
	}
	return a.Missing.Append(b)
}

// ReadCycleAnswer reads the answer of OpCycle.
func ReadCycleAnswer(b []byte) (CycleAnswer, error) {
	r := wire.NewReader(b)
	a := CycleAnswer{Reads: Reads(r.Uint()), Feasible: int(r.Uint())}
	for range r.Count(3) {
		a.Reasons = append(a.Reasons, ReasonInfo{Member: int(r.Uint()), Unresolvable: r.Bool(), Reasons: r.Strings()})
	}
	a.Missing = readMissing(r)
	return a, r.Err()
}

// AppendNormalize encodes an OpNormalize request for a member and the number
// of rows.
func AppendNormalize(b []byte, member, rows int) []byte {
	return wire.AppendUint(wire.AppendUint(b, uint64(member)), uint64(rows))
}

// ReadNormalize reads an OpNormalize request.
func ReadNormalize(b []byte) (member, rows int, err error) {
	r := wire.NewReader(b)
	member, rows = int(r.Uint()), int(r.Uint())
	return member, rows, r.Err()
}

// ReadMissing reads the answer of OpNormalize.
func ReadMissing(b []byte) (Missing, error) {
	r := wire.NewReader(b)
	m := readMissing(r)
	return m, r.Err()
}
