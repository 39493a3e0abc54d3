package evaluate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/scheduler/index"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

func init() {
	ask := func(list ...scheduling.PodCounts) func() *scheduling.Points {
		return func() *scheduling.Points {
			var first scheduling.Counts
			return &scheduling.Points{
				PreFilter: func(_ *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
					for i, c := range list {
						if h := s.CountPods(c); i == 0 {
							first = h
						}
					}
					return nil
				},
				Score: func(_ *scheduling.Pod, n scheduling.Node) int64 {
					pods, _ := first.Of(n)
					return pods
				},
			}
		}
	}
	register("counts-nonsense", ask(scheduling.PodCounts{TopologyKey: "zone", Selector: "a in"}))
	register("counts-no-key", ask(scheduling.PodCounts{Selector: "a=b"}))
	many := make([]scheduling.PodCounts, maxCounts+1)
	for i := range many {
		many[i] = scheduling.PodCounts{TopologyKey: "zone", Selector: fmt.Sprintf("a=%d", i)}
	}
	register("counts-too-many", ask(many...))
	register("counts-most", ask(many[:maxCounts]...))
}

// What a plugin asks for is an outsider's word: nonsense and too much are its
// faults, and the most that it may ask for works.
func TestCountsAreBounded(t *testing.T) {
	for name, want := range map[string]string{
		"counts-nonsense": `counts of pods that cannot be kept: selector "a in"`,
		"counts-no-key":   "counts of pods that cannot be kept: topology key of 0 bytes",
		"counts-too-many": "65 counts of pods for one pod, more than 64",
		"counts-most":     "",
	} {
		b := newTestBed(t, registered(name))
		set := index.NewSet(b.cfg.Table, func(func(string, index.Pod)) {})
		b.cfg.Indexes = set
		for _, n := range []string{"a", "b"} {
			x := node(n, "4", "8Gi")
			x.Labels = map[string]string{"zone": n}
			b.put(x)
		}
		set.Count("b", index.Pod{Labels: map[string]string{"a": "0"}}, 1)
		p := pod("p", "1").asked()
		out, err := b.Decide(t.Context(), p, start)
		if want == "" {
			if err != nil || out.Feasible != 2 {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// Counts follow pods that come after the first decision.
func TestCountsFollow(t *testing.T) {
	b := newTestBed(t, registered("counts-most"))
	set := index.NewSet(b.cfg.Table, func(func(string, index.Pod)) {})
	b.cfg.Indexes = set
	for _, n := range []string{"a", "b", "c"} {
		x := node(n, "4", "8Gi")
		x.Labels = map[string]string{"zone": n}
		b.put(x)
	}
	for i, on := range []string{"c", "a", "a"} {
		b.try(t, pod(fmt.Sprint("p", i), "1"))
		set.Count(on, index.Pod{Labels: map[string]string{"a": "0"}}, 1)
		row, _ := b.cfg.Table.Row(on)
		b.cfg.Table.Use(row, &columns.Usage{}, 1)
	}
	if out := b.try(t, pod("q", "1")); out.Node != "a" || out.Score != 2 {
		t.Errorf("outcome %+v, want a with its two pods", out)
	}
}
