package plugin

import (
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// unchecked are the operations of whose answers nothing is read as they came: they
// have none, or it is read before there is an instance to blame.
var unchecked = map[wire.Op]bool{wire.OpHandshake: true, wire.OpOpen: true, wire.OpClose: true, schedule.OpSnapshot: true, schedule.OpUnreserve: true}

// TestEveryOperationIsKnown: an operation that the wire has has a name here, for people,
// and its answer is checked: nonsense is a plugin's fault, and no consumer sees it.
func TestEveryOperationIsKnown(t *testing.T) {
	nonsense := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	known := 0
	for op := wire.Op(1); op < 128; op++ {
		if _, named := callNames[op]; !named {
			if op < wire.OpScheduling && !strings.HasPrefix(op.String(), "op ") {
				t.Errorf("%s has no name in callNames", op)
			}
			continue
		}
		known++
		if err := checkAnswer(op, nonsense); (err == nil) != unchecked[op] {
			t.Errorf("the answer %x to %s: %v", nonsense, callName(op), err)
		}
	}
	if known < 12 {
		t.Errorf("only %d operations", known)
	}
}
