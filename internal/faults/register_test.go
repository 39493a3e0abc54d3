package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pintle-io/pintle/internal/history"
)

// Verbs of an operation.
const (
	opGet    = "get"
	opCreate = "create"
	opUpdate = "update"
	opDelete = "delete"
)

// Answers to an operation. What is neither of the first three may or may not
// have happened: a connection that was lost, a time-out, a 500.
const (
	answerOK       = "ok"
	answerMissing  = "missing"  // 404
	answerConflict = "conflict" // 409, of an update or a create
	answerUnknown  = "unknown"
)

// op is what a client asked of one object, and was told.
type op struct {
	Client       int
	Verb         string
	Name         string
	Mark         string        `json:",omitempty"` // written
	OldRev       int64         `json:",omitempty"` // that an update expects
	OldMark      string        `json:",omitempty"`
	Call, Return time.Duration // since the beginning
	Answer       string
	Rev          int64  `json:",omitempty"` // answered
	GotMark      string `json:",omitempty"` // read
}

// object is the state of one name. rev is 0 after a write whose answer was
// lost, until it is read.
type object struct {
	exists bool
	rev    int64
	mark   string
}

// is tells whether the object is the one that a client read.
func (o object) is(rev int64, mark string) bool {
	return o.exists && o.mark == mark && (o.rev == 0 || o.rev == rev)
}

// step says what an object may be after an operation that was answered so;
// nothing when it could not have been.
func (o object) step(p op) []object {
	switch p.Verb {
	case opGet:
		switch {
		case p.Answer == answerOK && o.is(p.Rev, p.GotMark):
			return []object{{true, p.Rev, p.GotMark}}
		case p.Answer == answerMissing && !o.exists:
			return []object{o}
		}
		return nil
	case opCreate:
		return o.write(p, !o.exists, answerConflict, object{true, p.Rev, p.Mark})
	case opUpdate:
		refused := answerConflict
		if !o.exists {
			refused = answerMissing
		}
		return o.write(p, o.is(p.OldRev, p.OldMark), refused, object{true, p.Rev, p.Mark})
	case opDelete:
		return o.write(p, o.exists, answerMissing, object{})
	}
	return nil
}

// write is a change to next that is made if it can be, and refused if not.
func (o object) write(p op, can bool, refused string, next object) []object {
	switch {
	case p.Answer == answerUnknown && can:
		return []object{o, next}
	case p.Answer == answerUnknown:
		return []object{o}
	case p.Answer == answerOK && can:
		return []object{next}
	case p.Answer == refused && !can:
		return []object{o}
	}
	return nil
}

var registers = porcupine.NondeterministicModel{
	Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
		byName := map[string][]porcupine.Operation{}
		for _, o := range ops {
			name := o.Input.(op).Name
			byName[name] = append(byName[name], o)
		}
		var parts [][]porcupine.Operation
		for _, p := range byName {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() []any { return []any{object{}} },
	Step: func(state, input, _ any) []any {
		var next []any
		for _, o := range state.(object).step(input.(op)) {
			next = append(next, o)
		}
		return next
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

// resolve learns from what the store did whether writes happened whose answers
// were lost: no two writes share a mark. Of a deletion it is not known.
func resolve(ops []op, h history.Truth) (out []op) {
	revs := map[string]int64{}
	for _, c := range h {
		if c.Now != nil {
			revs[c.Now.Mark] = c.Rev
		}
	}
	for _, o := range ops {
		if o.Answer == answerUnknown {
			if o.Verb == opGet {
				continue
			}
			if o.Verb != opDelete {
				rev, happened := revs[o.Mark]
				if !happened {
					continue
				}
				o.Answer, o.Rev = answerOK, rev
			}
		}
		out = append(out, o)
	}
	return out
}

// checkLimit is how long a checker may take to find an order.
const checkLimit = time.Minute

// linearizable finds whether there is an order of the operations in which each
// was answered rightly, and that agrees with when they were asked and answered.
// What was never answered may have happened until the end.
func linearizable(ops []op, end time.Duration) (ok bool, why string) {
	var all []porcupine.Operation
	for i, o := range ops {
		ret := o.Return
		if o.Answer == answerUnknown || ret == 0 {
			ret = end
		}
		all = append(all, porcupine.Operation{ClientId: i, Input: o, Call: int64(o.Call), Return: int64(ret)})
	}
	switch porcupine.CheckOperationsTimeout(registers.ToModel(), all, checkLimit) {
	case porcupine.Ok:
		return true, ""
	case porcupine.Unknown:
		return false, fmt.Sprintf("no order was found in %s", checkLimit)
	}
	return false, "there is no order of the operations that explains the answers"
}

// audit compares what writers were told with what the store did: what was
// acknowledged is there, once and at the revision that was told; what was
// refused, and what nobody wrote, is not.
func audit(ops []op, h history.Truth) (faults []string) {
	made := map[string][]int64{}
	for _, c := range h {
		if c.Now != nil && c.Now.Mark != "" { // every namespace has a ConfigMap that is no client's
			made[c.Now.Mark] = append(made[c.Now.Mark], c.Rev)
		}
	}
	asked := map[string]bool{}
	for _, o := range ops {
		if o.Mark == "" {
			continue
		}
		asked[o.Mark] = true
		revs := made[o.Mark]
		switch {
		case len(revs) > 1:
			faults = append(faults, fmt.Sprintf("done twice, at %v: %+v", revs, o))
		case o.Answer == answerOK && (len(revs) == 0 || revs[0] != o.Rev):
			faults = append(faults, fmt.Sprintf("acknowledged at %d and found at %v: %+v", o.Rev, revs, o))
		case (o.Answer == answerConflict || o.Answer == answerMissing) && len(revs) > 0:
			faults = append(faults, fmt.Sprintf("refused and done at %v: %+v", revs, o))
		}
	}
	for mark, revs := range made {
		if !asked[mark] {
			faults = append(faults, fmt.Sprintf("nobody asked for %q, done at %v", mark, revs))
		}
	}
	return faults
}

// TestCheckerFindsFaults tries the checkers themselves.
func TestCheckerFindsFaults(t *testing.T) {
	t.Parallel()
	at := func(o op, call, ret int) op {
		o.Name, o.Call, o.Return = "a", time.Duration(call), time.Duration(ret)
		return o
	}
	create := op{Verb: opCreate, Mark: "1", Answer: answerOK, Rev: 5}
	update := op{Verb: opUpdate, OldRev: 5, OldMark: "1", Mark: "2", Answer: answerOK, Rev: 6}
	lost := op{Verb: opUpdate, OldRev: 5, OldMark: "1", Mark: "2", Answer: answerUnknown}
	read := func(rev int64, mark string) op { return op{Verb: opGet, Answer: answerOK, Rev: rev, GotMark: mark} }
	gone := op{Verb: opGet, Answer: answerMissing}
	remove := op{Verb: opDelete, Answer: answerOK}
	for name, tc := range map[string]struct {
		ops []op
		ok  bool
	}{
		"straight":                     {[]op{at(create, 1, 2), at(read(5, "1"), 3, 4), at(update, 5, 6), at(read(6, "2"), 7, 8), at(remove, 9, 10), at(gone, 11, 12)}, true},
		"old while a write is on":      {[]op{at(create, 1, 2), at(update, 3, 6), at(read(5, "1"), 4, 5)}, true},
		"a lost write is seen":         {[]op{at(create, 1, 2), at(lost, 3, 4), at(read(5, "1"), 5, 6), at(read(6, "2"), 7, 8)}, true},
		"a lost write is not seen":     {[]op{at(create, 1, 2), at(lost, 3, 4), at(read(5, "1"), 5, 6)}, true},
		"stale":                        {[]op{at(create, 1, 2), at(update, 3, 4), at(read(5, "1"), 5, 6)}, false},
		"back again":                   {[]op{at(create, 1, 2), at(lost, 3, 4), at(read(6, "2"), 5, 6), at(read(5, "1"), 7, 8)}, false},
		"forgotten":                    {[]op{at(create, 1, 2), at(gone, 3, 4)}, false},
		"deleted and there":            {[]op{at(create, 1, 2), at(remove, 3, 4), at(read(5, "1"), 5, 6)}, false},
		"two updates of one":           {[]op{at(create, 1, 2), at(update, 3, 4), at(op{Verb: opUpdate, OldRev: 5, OldMark: "1", Mark: "3", Answer: answerOK, Rev: 7}, 5, 6)}, false},
		"a conflict without a cause":   {[]op{at(create, 1, 2), at(op{Verb: opUpdate, OldRev: 5, OldMark: "1", Mark: "3", Answer: answerConflict}, 5, 6)}, false},
		"another revision of the same": {[]op{at(create, 1, 2), at(read(7, "1"), 3, 4)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if ok, why := linearizable(tc.ops, 100); ok != tc.ok {
				t.Errorf("got %v %s", ok, why)
			}
		})
	}
	now := func(mark string) *history.State { return &history.State{Namespace: "d", Name: "a", Mark: mark} }
	for name, tc := range map[string]struct {
		h  history.Truth
		ok bool
	}{
		"as told":          {history.Truth{{Rev: 5, Key: "d/a", Now: now("1")}, {Rev: 6, Key: "d/a", Now: now("2")}}, true},
		"lost":             {history.Truth{{Rev: 5, Key: "d/a", Now: now("1")}}, false},
		"twice":            {history.Truth{{Rev: 5, Key: "d/a", Now: now("1")}, {Rev: 6, Key: "d/a", Now: now("2")}, {Rev: 7, Key: "d/a", Now: now("2")}}, false},
		"another revision": {history.Truth{{Rev: 5, Key: "d/a", Now: now("1")}, {Rev: 7, Key: "d/a", Now: now("2")}}, false},
		"of nobody":        {history.Truth{{Rev: 5, Key: "d/a", Now: now("1")}, {Rev: 6, Key: "d/a", Now: now("2")}, {Rev: 7, Key: "d/a", Now: now("9")}}, false},
	} {
		t.Run("store/"+name, func(t *testing.T) {
			if faults := audit([]op{create, update}, tc.h); (len(faults) == 0) != tc.ok {
				t.Errorf("got %v", faults)
			}
		})
	}
}
