package flow_test

import (
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
)

func TestClassify(t *testing.T) {
	health := &request.RequestInfo{Path: "/readyz/etcd"}
	pods := &request.RequestInfo{IsResourceRequest: true, Verb: "list", Resource: "pods"}
	lease := &request.RequestInfo{IsResourceRequest: true, Verb: "update", APIGroup: "coordination.k8s.io", Resource: "leases"}
	who := func(name string, groups ...string) user.Info { return &user.DefaultInfo{Name: name, Groups: groups} }
	for _, tc := range []struct {
		name string
		user user.Info
		info *request.RequestInfo
		want string
	}{
		{"an administrator", who("a", "system:masters"), pods, "exempt a"},
		{"a health check", who("system:anonymous", "system:unauthenticated"), health, "exempt system:anonymous"},
		{"a pod named like one", who("u"), &request.RequestInfo{IsResourceRequest: true, Path: "/readyz"}, "workload u"},
		{"an agent", who("system:node:n", "system:nodes"), lease, "system system:node:n"},
		{"an agent's other requests", who("system:node:n", "system:nodes"), pods, "system system:node:n"},
		{"a leader", who("system:kube-scheduler"), lease, "system system:kube-scheduler"},
		{"a leader's other requests", who("system:kube-scheduler"), pods, "workload system:kube-scheduler"},
		{"a leader with an account", who("system:serviceaccount:kube-system:x"), lease, "system system:serviceaccounts:kube-system"},
		{"a tenant's leader", who("system:serviceaccount:a:x"), lease, "workload system:serviceaccounts:a"},
		{"a user", who("u"), pods, "workload u"},
		{"an account", who("system:serviceaccount:a:x"), pods, "workload system:serviceaccounts:a"},
		{"another account of the namespace", who("system:serviceaccount:a:y"), pods, "workload system:serviceaccounts:a"},
		{"nobody", nil, pods, "workload system:anonymous"},
	} {
		l, tenant := flow.Classify(tc.user, tc.info)
		if got := l.String() + " " + tenant; got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestBudget(t *testing.T) {
	b := flow.NewBudget(10, 5)
	for _, step := range []struct {
		tenant string
		n      int64
		want   bool
	}{{"a", 5, true}, {"a", 1, false}, {"b", 6, false}, {"b", 5, true}, {"c", 1, false}} {
		if got := b.Take(step.tenant, step.n); got != step.want {
			t.Errorf("take %d for %s: %v", step.n, step.tenant, got)
		}
	}
	b.Give("a", 5)
	if !b.Take("c", 5) || b.Used() != 10 {
		t.Errorf("what was given back is not there: %d used", b.Used())
	}
}

// A ticket gives back all that it took, in whatever phase its request ended.
func TestTicketEnds(t *testing.T) {
	for _, last := range []string{"body", "execute", "answer"} {
		c := flow.New(flow.Limits{Reads: 2, Writes: 2, Bodies: 2, Answers: 2, BodyBytes: 8, Frames: 8, Decode: 16})
		for n := range 5 {
			k := c.Begin(&user.DefaultInfo{Name: "u"}, &request.RequestInfo{})
			if !k.ReadBody() || !k.Grow(2) || !k.Decode(2) {
				t.Fatalf("%s: no room for body %d", last, n)
			}
			if last != "body" {
				k.DoneBody()
				if !k.Execute(false) {
					t.Fatalf("%s: no slot for request %d", last, n)
				}
			}
			if last == "answer" {
				k.Answer()
				k.Answer()
			}
			k.End()
			k.End()
		}
	}
}

// Who is executed while too many answers are under way keeps his slot.
func TestAnswersAreBounded(t *testing.T) {
	c := flow.New(flow.Limits{Reads: 4, Writes: 4, Bodies: 2, Answers: 2, BodyBytes: 8, Frames: 8})
	begin := func() (*flow.Ticket, bool) {
		k := c.Begin(&user.DefaultInfo{Name: "u"}, &request.RequestInfo{})
		ok := k.Execute(true)
		k.Answer()
		return k, ok
	}
	var first *flow.Ticket
	for n := range 3 { // one answer, two slots
		k, ok := begin()
		if !ok {
			t.Fatalf("request %d is refused", n)
		}
		if first == nil {
			first = k
		}
	}
	if _, ok := begin(); ok {
		t.Error("a fourth request is executed")
	}
	first.End()
	k, ok := begin()
	if ok {
		t.Error("an answer that ended freed a slot that it did not hold")
	}
	k.End()
}

// Who holds a turn instead of a slot gives it back when its answer goes out, once, and
// not while too many answers are under way.
func TestTurnsEndWithTheAnswer(t *testing.T) {
	c := flow.New(flow.Limits{Reads: 2, Writes: 2, Bodies: 2, Answers: 2, BodyBytes: 8, Frames: 8})
	released := 0
	hold := func(groups ...string) *flow.Ticket {
		k := c.Begin(&user.DefaultInfo{Name: "u", Groups: groups}, &request.RequestInfo{})
		k.Hold(func() { released++ })
		return k
	}
	first := hold()
	first.Answer()
	first.Answer()
	if released != 1 {
		t.Errorf("the first answer gave back %d turns", released)
	}
	second := hold()
	second.Answer()
	if released != 1 {
		t.Error("an answer too many gave its turn back")
	}
	hold(user.SystemPrivilegedGroup).Answer()
	if released != 2 {
		t.Error("an administrator's turn does not end with the answer")
	}
	watch := hold()
	watch.Begun()
	watch.Begun()
	if released != 3 {
		t.Errorf("a stream that begins: %d turns are over, want 3", released)
	}
	var none *flow.Ticket
	none.Begun()
	none.Answer()
	first.End()
	third := hold()
	if third.Answer(); released != 4 {
		t.Error("an answer that has been sent makes no room for another")
	}
}
