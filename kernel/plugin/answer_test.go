package plugin

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// answerOps are the operations whose answers are looked into.
var answerOps = []wire.Op{wire.OpValidate, wire.OpReconcile, wire.OpMap, schedule.OpDescribe, schedule.OpPreFilter, schedule.OpCycle, schedule.OpNormalize, schedule.OpProfile, wire.OpConvert}

// FuzzAnswers: whatever a guest answers, the check does not panic, and what
// passes it can be decoded and is within the bounds.
func FuzzAnswers(f *testing.F) {
	verdict := wire.Verdict{Denied: true, Message: "no", Warnings: []string{"w"}, Patch: []wire.PatchOp{{Path: "a.b[0]", Value: []byte("1")}},
		Await: []wire.GetRequest{{Resource: "v1/pods", Name: "x"}}}
	f.Add(0, verdict.Append(nil))
	f.Add(1, wire.AppendReconcileResult(nil, 1, []wire.Request{{Namespace: "a", Name: "b"}, {Labels: "c=d"}}))
	f.Add(2, wire.AppendRequests(nil, []wire.Request{{Name: "b"}}))
	fields := "metadata(name),spec"
	refs := []columns.Ref{{ID: columns.AllocCPU, Name: "n"}, {ID: columns.Label, Key: "zone"}}
	f.Add(3, schedule.AppendMembers(nil, []schedule.MemberInfo{{Name: "m", Filters: true, Scores: true, Column: 1, Weight: 1, Columns: refs}}))
	missing := schedule.Missing{Columns: refs, Fields: &fields}
	pre := schedule.PreFilterAnswer{RejectedBy: 1, Reasons: []string{"r"}, Only: []schedule.OnlyNodes{{Nodes: []string{"n"}}}, Missing: missing,
		Counts: []schedule.PodCounts{{TopologyKey: "zone", Namespaces: []string{"n"}, Selector: "a=b"}}}
	f.Add(4, pre.Append(nil))
	cycle := schedule.CycleAnswer{Feasible: 2, Reasons: []schedule.ReasonInfo{{Reasons: []string{"r"}}}, Missing: missing}
	f.Add(5, cycle.Append(nil))
	f.Add(6, missing.Append(nil))
	f.Add(7, wire.AppendOptional(nil, &fields))
	f.Add(8, wire.AppendObjects(nil, [][]byte{[]byte("{}"), nil}))
	f.Fuzz(func(t *testing.T, which int, b []byte) {
		op := answerOps[uint(which)%uint(len(answerOps))]
		if err := checkAnswer(op, b); err != nil {
			if !errors.Is(err, wire.ErrProtocol) {
				t.Fatalf("%v is no fault", err)
			}
			return
		}
		r := wire.NewReader(b)
		var err error
		switch op {
		case wire.OpValidate:
			v := r.Verdict()
			if err = r.Err(); len(v.Message) > maxMessage || len(v.Patch) > maxPatch || len(v.Await) > maxAwait {
				t.Fatalf("a verdict beyond the bounds passed: %d %d %d", len(v.Message), len(v.Patch), len(v.Await))
			}
		case wire.OpReconcile:
			_, _, err = wire.ReconcileResult(b)
		case wire.OpMap:
			r.Requests()
			err = r.Err()
		case schedule.OpDescribe:
			_, err = schedule.ReadMembers(b)
		case schedule.OpPreFilter:
			_, err = schedule.ReadPreFilter(b)
		case schedule.OpCycle:
			_, err = schedule.ReadCycleAnswer(b)
		case schedule.OpNormalize:
			_, err = schedule.ReadMissing(b)
		case schedule.OpProfile:
			_, err = schedule.ReadFields(b)
		case wire.OpConvert:
			if n := len(wire.ReadObjects(r)); n > maxObjects {
				t.Fatalf("%d objects passed", n)
			}
			err = r.Err()
		}
		if err != nil {
			t.Fatalf("%s passed and cannot be decoded: %v", op, err)
		}
	})
}

// TestGrownAnswers: what a later minor version adds passes the check, and what
// stands behind it is held against the bounds.
func TestGrownAnswers(t *testing.T) {
	one := func(name string) []byte {
		r := wire.NewReader(schedule.AppendMembers(nil, []schedule.MemberInfo{{Name: name, Filters: true}})[1:])
		return append(slices.Clone(r.Bytes()), "a field that came later"...)
	}
	two := func(second string) []byte {
		b := wire.AppendBytes(wire.AppendBytes([]byte{2}, one("a")), one(second))
		return append(b, "and one of the answer"...)
	}
	if err := checkAnswer(schedule.OpDescribe, two("b")); err != nil {
		t.Errorf("members that have grown: %v", err)
	}
	if err := checkAnswer(schedule.OpDescribe, two("")); err == nil || !strings.Contains(err.Error(), "a member without a name") {
		t.Errorf("a second member without a name: %v", err)
	}
	var pre schedule.PreFilterAnswer
	for op, b := range map[wire.Op][]byte{wire.OpValidate: wire.Findings{Annotations: []string{"a", "b"}, Charges: []wire.Charge{{Resource: "v1/resourcequotas", Amounts: []wire.Amount{{Key: "pods", Quantity: "1"}}}}}.Append(wire.Verdict{}.Append(nil)), wire.OpReconcile: wire.AppendReconcileResult(nil, 1, nil), schedule.OpPreFilter: pre.Append(nil)} {
		if err := checkAnswer(op, append(b, "a field that came later"...)); err != nil {
			t.Errorf("%s that has grown: %v", op, err)
		}
	}
}

// TestErrorsAreCut: what a guest says as an error is kept, printed and written,
// but not all of it.
func TestErrorsAreCut(t *testing.T) {
	for _, c := range []struct {
		message      string
		first, whole int
	}{
		{"short", 5, 5},
		{strings.Repeat("x", 20<<20), maxErrorLine + 8, maxError},
		{"first\n" + strings.Repeat("x\n", 20<<20), 5, maxError + 16},
		{strings.Repeat("é", 20<<20) + "\nstack", maxErrorLine + 8, maxError},
	} {
		err := clipError(&wire.Error{Kind: wire.KindTrap, Message: c.message})
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Kind != wire.KindTrap {
			t.Fatalf("error %v", err)
		}
		line, _, _ := strings.Cut(e.Message, "\n")
		if len(line) > c.first || len(e.Message) > c.whole {
			t.Errorf("%.10q: a first line of %d bytes, %d in all", c.message, len(line), len(e.Message))
		}
	}
}

// TestManifestBounds: what a guest says of itself is bounded.
func TestManifestBounds(t *testing.T) {
	long := strings.Repeat("x", 20<<20)
	for name, m := range map[string]wire.Manifest{
		"no name":      {},
		"long name":    {Name: long},
		"long version": {Name: "n", Version: long},
		"many watches": {Name: "n", Watches: make([]wire.Watch, 1000)},
		"long watch":   {Name: "n", Watches: []wire.Watch{{Arg: long}}},
		"many matches": {Name: "n", Match: make([]wire.Match, 1000)},
		"long match":   {Name: "n", Match: []wire.Match{{Resources: []string{long}}}},
		"many kinds":   {Name: "n", Implements: make([]string, 1000)},
		"long kind":    {Name: "n", Implements: []string{long}},
		"many paths":   {Name: "n", Match: []wire.Match{{Present: make([]string, 1000)}}},
	} {
		if err := checkManifest(&m); !errors.Is(err, wire.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkManifest(&wire.Manifest{Name: "n", Watches: []wire.Watch{{Resource: "v1/pods"}}}); err != nil {
		t.Error(err)
	}
}
