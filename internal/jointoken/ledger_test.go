package jointoken_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/internal/jointoken"
)

func TestLedger(t *testing.T) {
	l := jointoken.Ledger{Uses: 2, Joined: []jointoken.Join{{Node: "a", Request: "u1"}}}
	annotations := map[string]string{}
	l.Write(annotations)
	got := jointoken.ReadLedger(annotations)
	if d := cmp.Diff(l, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got.UsedUp() || !got.Has("u1") || got.Has("u2") {
		t.Errorf("%+v: used up %v, has u1 %v, has u2 %v", got, got.UsedUp(), got.Has("u1"), got.Has("u2"))
	}
	got.Joined = append(got.Joined, jointoken.Join{Node: "b", Request: "u2"})
	if !got.UsedUp() {
		t.Errorf("%+v is not used up", got)
	}
	if other := jointoken.ReadLedger(nil); other.UsedUp() || other.Uses != 0 {
		t.Errorf("a token of another program: %+v", other)
	}
	for _, bad := range []string{"", "x", "-1", "0", "101"} {
		if l := jointoken.ReadLedger(map[string]string{"pintle.dev/join-uses": bad}); !l.UsedUp() {
			t.Errorf("uses %q: %+v makes nodes", bad, l)
		}
	}
}
