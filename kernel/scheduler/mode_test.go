package scheduler

import (
	"context"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	never := scheduling.Unschedulable("never")
	sdk.Register(sdk.Plugin{Name: "mode-no", New: func([]byte) (sdk.Points, error) {
		return &scheduling.Points{Filter: func(*scheduling.Pod, scheduling.Node) *scheduling.Status { return never }}, nil
	}})
}

// TestModeOfPluginChanges: the same plugin decides, is rehearsed, and decides
// again. While it is rehearsed, the verdict says what it would have done.
func TestModeOfPluginChanges(t *testing.T) {
	c := newTestCycle(t)
	for _, name := range []string{"a", "b", "c"} {
		c.putNode(testNode(name, "4", "8Gi"), start)
	}
	set := func(rehearse bool) {
		t.Helper()
		in, err := evaluate.Open(t.Context(), "no", Plugin{Rehearse: rehearse, Open: func(ctx context.Context) (plugin.Instance, error) {
			return native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: "mode-no"})
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.setPlugin("no", in); err != nil {
			t.Fatal(err)
		}
	}
	for _, rehearse := range []bool{false, true, false} {
		set(rehearse)
		c.putPod(testPod("p", "100m", ""), start)
		d := c.next(t.Context(), start)
		if d == nil || (d.node != "") != rehearse {
			t.Fatalf("rehearsed %t: decision %+v", rehearse, d)
		}
		v, _ := c.explanations.get(d.pod.Key)
		want := "would refuse every node: 0/3 nodes are available: 3 never."
		if got := len(v.Rehearsed) == 1 && v.Rehearsed[0].Message == want; got != rehearse {
			t.Errorf("rehearsed %t: verdict %+v", rehearse, v)
		}
		c.deletePod(d.pod.Key, start)
	}
	if err := c.setPlugin("no", nil); err != nil || c.evaluator.Len() != 1 || c.rehearsals.Len() != 0 {
		t.Errorf("removed: %v, %d plugins, %d rehearsals", err, c.evaluator.Len(), c.rehearsals.Len())
	}
}
