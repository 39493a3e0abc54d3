package schedule_test

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

var (
	fields  = "metadata(name)"
	missing = schedule.Missing{Columns: []columns.Ref{{ID: 64, Key: "zone", Name: "node.label"}}, Fields: &fields}
	members = []schedule.MemberInfo{
		{Name: "a", Filters: true, Scope: 1, Events: 7, Columns: missing.Columns, Reserves: true, PreBinds: true, Objects: []string{"v1/x"}},
		{Name: "b", Scores: true, Scaling: 1, Normalizes: true, Column: 1, Weight: -5},
	}
	uses = []schedule.MemberUse{{Filter: true}, {Weight: 3}}
	pre  = schedule.PreFilterAnswer{Reads: 8, RejectedBy: 1, Unresolvable: true, Reasons: []string{"r"}, Only: []schedule.OnlyNodes{{Member: 1, Nodes: []string{"n"}}},
		Counts: []schedule.PodCounts{{TopologyKey: "zone", Namespaces: []string{"x"}, Selector: "a=b", SkipTerminating: true}}, Missing: missing, Reserving: []int{1}}
	pod      = schedule.PodRef{Namespace: "ns", Name: "p", UID: "u"}
	object   = schedule.ObjectRef{Resource: "v1/x", Namespace: "ns", Name: "o"}
	reserve  = schedule.ReserveRequest{Pod: pod, Row: 300, Members: []int{0, 2}, Record: []byte("record")}
	reserved = schedule.ReserveAnswer{RejectedBy: 1, Reasons: []string{"r"}, Missing: missing,
		Reservations: []schedule.Reservation{{Member: 2, PreBind: true, State: []byte("s"), Assumed: []schedule.Assumed{{ObjectRef: object, Patch: []byte("{}")}}}}}
	unreserve = schedule.UnreserveRequest{Pod: pod, Node: "n", Member: 1, State: []byte("s")}
	preBind   = schedule.PreBindRequest{UnreserveRequest: unreserve, Elapsed: time.Second}
	preBound  = schedule.PreBindAnswer{Outcome: schedule.PreBindWait, Reasons: []string{"r"}, After: time.Minute, Until: []schedule.ObjectRef{object}, State: []byte("s")}
	cycle     = schedule.CycleRequest{Scope: 1, Masked: true, Runs: []schedule.Run{{Start: 64, Count: 2}, {Start: 70, Count: 1}}, Counts: []schedule.CountsAt{{Slot: 1, Domains: 2, Min: -1, Max: 4}, {Slot: 2, Max: 1}}}
	found     = schedule.CycleAnswer{Reads: 1, Feasible: 2, Reasons: []schedule.ReasonInfo{{Member: 1, Unresolvable: true, Reasons: []string{"r"}}, {Reasons: []string{"s"}}}, Missing: missing}
)

// TestFrames: every frame is read as it was written, also when a later minor
// version has put a field behind it, and in no way when it is cut short.
func TestFrames(t *testing.T) {
	for name, f := range map[string]struct {
		value any
		frame []byte
		read  func([]byte) (any, error)
	}{
		"members":   {members, schedule.AppendMembers(nil, members), func(b []byte) (any, error) { return schedule.ReadMembers(b) }},
		"uses":      {uses, schedule.AppendUses(nil, uses), func(b []byte) (any, error) { return schedule.ReadUses(b) }},
		"fields":    {&fields, wire.AppendOptional(nil, &fields), func(b []byte) (any, error) { return schedule.ReadFields(b) }},
		"prefilter": {pre, pre.Append(nil), func(b []byte) (any, error) { return schedule.ReadPreFilter(b) }},
		"cycle":     {cycle, cycle.Append(nil), func(b []byte) (any, error) { var q schedule.CycleRequest; err := q.Read(b); return q, err }},
		"answer":    {found, found.Append(nil), func(b []byte) (any, error) { return schedule.ReadCycleAnswer(b) }},
		"missing":   {missing, missing.Append(nil), func(b []byte) (any, error) { return schedule.ReadMissing(b) }},
		"reserve":   {reserve, reserve.Append(nil), func(b []byte) (any, error) { return schedule.ReadReserve(b) }},
		"reserved":  {reserved, reserved.Append(nil), func(b []byte) (any, error) { return schedule.ReadReserveAnswer(b) }},
		"unreserve": {unreserve, unreserve.Append(nil), func(b []byte) (any, error) { return schedule.ReadUnreserve(b) }},
		"prebind":   {preBind, preBind.Append(nil), func(b []byte) (any, error) { return schedule.ReadPreBind(b) }},
		"prebound":  {preBound, preBound.Append(nil), func(b []byte) (any, error) { return schedule.ReadPreBindAnswer(b) }},
		"normalize": {[2]int{3, 400}, schedule.AppendNormalize(nil, 3, 400), func(b []byte) (any, error) { m, n, err := schedule.ReadNormalize(b); return [2]int{m, n}, err }},
	} {
		for _, later := range []string{"", "a field that came later"} {
			got, err := f.read(append(f.frame[:len(f.frame):len(f.frame)], later...))
			if err != nil || !reflect.DeepEqual(got, f.value) {
				t.Errorf("%s, then %q: got %+v, %v, want %+v", name, later, got, err, f.value)
			}
		}
		for n := range f.frame {
			if n == len(f.frame)-2 && name == "prefilter" {
				continue // as version 2.3 writes it: nobody reserves
			}
			if got, err := f.read(f.frame[:n]); err == nil {
				t.Errorf("%s cut to %d of %d bytes is read as %+v", name, n, len(f.frame), got)
			}
		}
	}
}

// TestFramesStay: what is written begins with what version 2.0 wrote, so that whoever
// speaks that reads it; the elements of lists, such as counts, never get a field
// (docs/abi.md, "How frames grow").
func TestFramesStay(t *testing.T) {
	for name, f := range map[string]struct {
		frame []byte
		first string
	}{
		"uses":      {schedule.AppendUses(nil, uses), "0201000006"},
		"prefilter": {pre.Append(nil), "080101010172010101016e01047a6f6e6501017803613d62010140047a6f6e650a6e6f64652e6c6162656c010e6d65746164617461286e616d6529"},
		"cycle":     {cycle.Append(nil), "01010240024601020102010802000002"},
		"answer":    {found.Append(nil), "010202010101017200000101730140047a6f6e650a6e6f64652e6c6162656c010e6d65746164617461286e616d6529"},
		"missing":   {missing.Append(nil), "0140047a6f6e650a6e6f64652e6c6162656c010e6d65746164617461286e616d6529"},
		"normalize": {schedule.AppendNormalize(nil, 3, 400), "039003"},
	} {
		if got := hex.EncodeToString(f.frame); !strings.HasPrefix(got, f.first) {
			t.Errorf("%s is written as %s, which does not begin with %s", name, got, f.first)
		}
	}
}

// TestMembersGrow: a member that stands before another has a field more.
func TestMembersGrow(t *testing.T) {
	b := wire.AppendUint(nil, 2)
	for i := range members {
		one := schedule.AppendMembers(nil, members[i:i+1])
		r := wire.NewReader(one[1:])
		b = wire.AppendBytes(b, append(append([]byte(nil), r.Bytes()...), "later"...))
	}
	if got, err := schedule.ReadMembers(b); err != nil || !reflect.DeepEqual(got, members) {
		t.Errorf("got %+v, %v, want %+v", got, err, members)
	}
}
