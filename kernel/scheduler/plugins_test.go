package scheduler

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/registry"
)

// modeNo is a plugin that refuses every node.
func modeNo(policy FailurePolicy, rehearse bool) Plugin {
	return Plugin{FailurePolicy: policy, Rehearse: rehearse, Open: func(ctx context.Context) (plugin.Instance, error) {
		return native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: "mode-no"})
	}}
}

// newIdle is a scheduler that nobody runs, with a node, a pod and the standard set
// as plugin-0.
func newIdle(t *testing.T) *Scheduler {
	t.Helper()
	s, err := New(Config{Registry: struct{ registry.Registry }{}})
	if err != nil {
		t.Fatal(err)
	}
	s.cycle = newTestCycle(t)
	s.synced.nodes, s.synced.pods = true, true
	s.cycle.putNode(testNode("n", "4", "8Gi"), start)
	s.cycle.putPod(testPod("p", "100m", ""), start)
	return s
}

// TestExpectedPluginsHoldDecisions: while a plugin is about to come, the others
// decide nothing without it, whatever order things come in.
func TestExpectedPluginsHoldDecisions(t *testing.T) {
	s := newIdle(t)
	ready := func(want bool, when string) {
		t.Helper()
		s.applyUpdates()
		if got := s.ready(); got != want {
			t.Errorf("%s: ready %t, want %t", when, got, want)
		}
	}
	ready(true, "no plugin is expected")
	s.Expect("no", modeNo(Fail, false), nil)
	s.Expect("other", modeNo(Ignore, false), nil)
	s.Expect("beside", modeNo(Fail, true), nil)
	ready(false, "two are")
	s.Remove("other")
	ready(false, "one is")
	if err := s.Set(t.Context(), "no", modeNo(Fail, false)); err != nil {
		t.Fatal(err)
	}
	ready(true, "both have come")
	if d := s.cycle.next(t.Context(), start); d == nil || d.node != "" || !strings.Contains(d.message, "never") {
		t.Errorf("decision %+v", d)
	}
	s.Remove("no")
	s.Expect("no", modeNo(Fail, false), nil)
	ready(false, "it is expected again")
	s.Expect("no", modeNo(Fail, false), errors.New("boom"))
	ready(true, "it does not come")
}

// TestAbsentPlugin: what a plugin that does not come means is its failure
// policy's to say.
func TestAbsentPlugin(t *testing.T) {
	for policy, want := range map[FailurePolicy]string{Fail: "plugin no: it is not in place: boom", Ignore: ""} {
		s := newIdle(t)
		s.Expect("no", modeNo(policy, false), nil)
		s.Expect("no", modeNo(policy, false), errors.New("boom"))
		s.applyUpdates()
		d := s.cycle.next(t.Context(), start)
		if d == nil || d.message != want || (d.node != "") != (policy == Ignore) {
			t.Errorf("%s: decision %+v, want the message %q", policy, d, want)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAbsentPluginIsNoPluginToAsk: one that is to be ignored does not let pods be
// placed by nobody.
func TestAbsentPluginIsNoPluginToAsk(t *testing.T) {
	s := newIdle(t)
	s.Remove("plugin-0")
	s.Expect("no", modeNo(Ignore, false), errors.New("boom"))
	s.applyUpdates()
	if s.ready() {
		t.Error("ready without a plugin")
	}
}
