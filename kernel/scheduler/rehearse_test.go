package scheduler

import (
	"context"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk"
)

func init() {
	never := sdk.Unschedulable("never")
	register("rehearse-no", func() *sdk.Points {
		return &sdk.Points{
			Filter: func(*sdk.Pod, sdk.Node) *sdk.Status { return never },
			Score:  func(*sdk.Pod, sdk.Node) int64 { return 100 },
		}
	})
	register("rehearse-not-b", func() *sdk.Points {
		return &sdk.Points{
			Filter: func(_ *sdk.Pod, n sdk.Node) *sdk.Status {
				if n.Name() == "b" {
					return never
				}
				return nil
			},
			Score: func(_ *sdk.Pod, n sdk.Node) int64 {
				if n.Name() == "c" {
					return 100
				}
				return 0
			},
		}
	})
	register("rehearse-b", func() *sdk.Points {
		return &sdk.Points{PreFilter: func(*sdk.Pod, *sdk.Snapshot) *sdk.Status { return sdk.Only("b") }}
	})
	register("rehearse-panic", func() *sdk.Points {
		return &sdk.Points{Filter: func(*sdk.Pod, sdk.Node) *sdk.Status { panic("as told") }}
	})
}

// rehearsed puts a plugin beside those that decide.
func (c *core) rehearse(t *testing.T, name string) {
	t.Helper()
	p := registered(name)
	p.Rehearse = true
	u, err := openUnit(t.Context(), name, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.replace(name, u); err != nil {
		t.Fatal(err)
	}
}

// TestRehearsedPluginsDecideNothing: neither filters nor scores nor faults of a
// plugin in the mode Shadow touch a pod; what it says is told.
func TestRehearsedPluginsDecideNothing(t *testing.T) {
	for name, want := range map[string]string{
		"rehearse-no":    "would refuse every node: 0/3 nodes are available: 3 never.",
		"rehearse-not-b": "would refuse node b: never",
		"rehearse-panic": "cannot be asked now",
		"rehearse-b":     "",
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCore(t, registered("rehearse-b"))
			threeNodes(c)
			c.rehearse(t, name)
			t.Cleanup(func() { c.rehearsals.close() })
			c.cluster.putPod(testPod("p", "100m", ""), start)
			d := c.next(t.Context(), start)
			if d == nil || d.node != "b" {
				t.Fatalf("decision %+v, want node b", d)
			}
			v, _ := c.verdicts.get(d.pod.key)
			if len(v.Rehearsed) != 1 || !strings.HasPrefix(v.Rehearsed[0].Message, want) || (want == "") != (v.Rehearsed[0].Message == "") {
				t.Errorf("rehearsed %+v, want %q", v.Rehearsed, want)
			}
		})
	}
}

// TestModeOfPluginChanges: the same plugin decides, is rehearsed, and decides
// again.
func TestModeOfPluginChanges(t *testing.T) {
	c := newTestCore(t)
	threeNodes(c)
	for _, rehearse := range []bool{false, true, false} {
		p := registered("rehearse-no")
		p.Rehearse = rehearse
		u, err := openUnit(t.Context(), "no", p)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.replace("no", u); err != nil {
			t.Fatal(err)
		}
		c.cluster.putPod(testPod("p", "100m", ""), start)
		d := c.next(t.Context(), start)
		if placed := d != nil && d.node != ""; placed != rehearse {
			t.Errorf("rehearsed %t: decision %+v", rehearse, d)
		}
		c.cluster.dropPod(d.pod.key, start)
	}
	if err := c.replace("no", nil); err != nil || len(c.engine.units) != 1 || len(c.rehearsals.list) != 0 {
		t.Errorf("removed: %v, %d units, %d rehearsals", err, len(c.engine.units), len(c.rehearsals.list))
	}
}

// TestRehearsedInstanceIsClosed: no instance is left behind.
func TestRehearsedInstanceIsClosed(t *testing.T) {
	open := 0
	p := registered("rehearse-no")
	inner := p.Open
	p.Open = func(ctx context.Context) (plugin.Instance, error) {
		in, err := inner(ctx)
		open++
		return closing{in, &open}, err
	}
	p.Rehearse = true
	c := newTestCore(t)
	for range 3 {
		u, err := openUnit(t.Context(), "no", p)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.replace("no", u); err != nil {
			t.Fatal(err)
		}
		if open != 1 {
			t.Errorf("%d instances, want one", open)
		}
	}
	c.rehearsals.close()
	if open != 0 {
		t.Errorf("%d instances are left", open)
	}
}

type closing struct {
	plugin.Instance
	open *int
}

func (c closing) Close() error {
	*c.open--
	return c.Instance.Close()
}
