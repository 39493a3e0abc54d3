package evaluate

import (
	"context"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	never := scheduling.Unschedulable("never")
	register("rehearse-no", func() *scheduling.Points {
		return &scheduling.Points{
			Filter: func(*scheduling.Pod, scheduling.Node) *scheduling.Status { return never },
			Score:  func(*scheduling.Pod, scheduling.Node) int64 { return 100 },
		}
	})
	register("rehearse-not-b", func() *scheduling.Points {
		return &scheduling.Points{
			Filter: func(_ *scheduling.Pod, n scheduling.Node) *scheduling.Status {
				if n.Name() == "b" {
					return never
				}
				return nil
			},
			Score: func(_ *scheduling.Pod, n scheduling.Node) int64 {
				if n.Name() == "c" {
					return 100
				}
				return 0
			},
		}
	})
	register("rehearse-b", func() *scheduling.Points {
		return &scheduling.Points{PreFilter: func(*scheduling.Pod, *scheduling.Snapshot) *scheduling.Status { return scheduling.Only("b") }}
	})
	register("rehearse-panic", func() *scheduling.Points {
		return &scheduling.Points{Filter: func(*scheduling.Pod, scheduling.Node) *scheduling.Status { panic("as told") }}
	})
}

// TestRehearsedPluginsDecideNothing: what a plugin in the mode Shadow says is
// told, and its fault too.
func TestRehearsedPluginsDecideNothing(t *testing.T) {
	for name, want := range map[string]string{
		"rehearse-no":    "would refuse every node: 0/3 nodes are available: 3 never.",
		"rehearse-not-b": "would refuse node b: never",
		"rehearse-panic": "cannot be asked now",
		"rehearse-b":     "",
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestBed(t, registered("rehearse-b"))
			c.threeNodes()
			r := NewRehearsals(c.cfg)
			t.Cleanup(func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
			if err := r.Replace(name, open(t, name, registered(name))); err != nil {
				t.Fatal(err)
			}
			if r.list[0].evaluator.scores != nil {
				t.Error("scores are taken down that nobody asks for")
			}
			p := pod("p", "100m")
			out := c.try(t, p)
			if out.Node != "b" {
				t.Fatalf("outcome %+v, want node b", out)
			}
			said := r.Ask(t.Context(), p.asked(), &out, start)
			if len(said) != 1 || !strings.HasPrefix(said[0].Message, want) || (want == "") != (said[0].Message == "") {
				t.Errorf("rehearsed %+v, want %q", said, want)
			}
		})
	}
}

// TestRehearsedInstanceIsClosed: no instance is left behind.
func TestRehearsedInstanceIsClosed(t *testing.T) {
	opened := 0
	p := registered("rehearse-no")
	inner := p.Open
	p.Open = func(ctx context.Context) (plugin.Instance, error) {
		in, err := inner(ctx)
		opened++
		return closing{in, &opened}, err
	}
	r := NewRehearsals(newTestBed(t).cfg)
	for range 3 {
		if err := r.Replace("no", open(t, "no", p)); err != nil {
			t.Fatal(err)
		}
		if opened != 1 {
			t.Errorf("%d instances, want one", opened)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if opened != 0 {
		t.Errorf("%d instances are left", opened)
	}
}

type closing struct {
	plugin.Instance
	opened *int
}

func (c closing) Close() error {
	*c.opened--
	return c.Instance.Close()
}
