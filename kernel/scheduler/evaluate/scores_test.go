package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

func init() {
	fixed := func(_ *scheduling.Pod, n scheduling.Node) int64 { return min(100, 10*int64(n.Row())) }
	register("test-fixed", func() *scheduling.Points { return &scheduling.Points{Score: fixed} })
	register("test-fixed-cluster", func() *scheduling.Points { return &scheduling.Points{Score: fixed, Scope: schedule.Cluster} })
	register("test-normalized-cluster", func() *scheduling.Points {
		return &scheduling.Points{Score: fixed, Scope: schedule.Cluster, Normalize: func(_ *scheduling.Pod, s *scheduling.Scores) {
			for i := range s.Len() {
				s.Set(i, s.At(i)/2)
			}
		}}
	})
}

// weighted is a registered plugin of one member with a weight.
func weighted(name string, weight int64) Plugin {
	p := registered(name)
	p.Use = map[string]Use{name: {Weight: weight}}
	return p
}

// TestScoresSayWhoGaveWhat: a score is the sum of what each scorer gave, which is
// its own score times its weight.
func TestScoresSayWhoGaveWhat(t *testing.T) {
	c := newTestBed(t, weighted("test-fixed", 7), weighted("test-scaled", 2), weighted("test-normalized", 3), weighted("test-fixed-cluster", 5),
		weighted("test-normalized-cluster", 4))
	for i, cpu := range []string{"4", "2", "1"} {
		c.put(node(fmt.Sprint("n", i), cpu, "8Gi"))
	}
	got := c.try(t, pod("p", "100m")).Scores
	type told struct {
		Scorers []Scorer
		Nodes   []NodeScore
	}
	want := told{
		Scorers: []Scorer{
			{Plugin: "plugin-0", Members: []string{"test-fixed"}, Weight: 7},
			{Plugin: "plugin-1", Members: []string{"test-scaled"}, Weight: 2},
			{Plugin: "plugin-2", Members: []string{"test-normalized"}, Weight: 3},
			{Plugin: "plugin-3", Members: []string{"test-fixed-cluster"}, Weight: 5},
			{Plugin: "plugin-4", Members: []string{"test-normalized-cluster"}, Weight: 4},
		},
		Nodes: []NodeScore{
			{Node: "n2", Score: 20*7 + 75*2 + 75*3 + 20*5 + 10*4, Shares: []int64{20 * 7, 75 * 2, 75 * 3, 20 * 5, 10 * 4}},
			{Node: "n1", Score: 10*7 + 50*2 + 50*3 + 10*5 + 5*4, Shares: []int64{10 * 7, 50 * 2, 50 * 3, 10 * 5, 5 * 4}},
			{Node: "n0", Shares: []int64{0, 0, 0, 0, 0}},
		},
	}
	if diff := cmp.Diff(want, told{got.Scorers(), got.Nodes()}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScoresOfSeveralMembers: members whose scores the plugin adds up are told
// together, without a weight; the others alone.
func TestScoresOfSeveralMembers(t *testing.T) {
	c := newTestBed(t)
	c.threeNodes()
	out := c.try(t, pod("p", "100m"))
	want := []Scorer{
		{Plugin: "plugin-0", Members: []string{"NodeResourcesFit", "NodeResourcesBalancedAllocation", "ImageLocality"}},
		{Plugin: "plugin-0", Members: []string{"TaintToleration"}, Weight: 3},
		{Plugin: "plugin-0", Members: []string{"NodeAffinity"}, Weight: 2},
	}
	if diff := cmp.Diff(want, out.Scores.Scorers()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestScoresAddUp: whatever changed since the last pod, the shares are those of
// the scores by which the node was chosen.
func TestScoresAddUp(t *testing.T) {
	for _, names := range [][]string{{}, {"test-fixed"}, {"test-normalized", "test-scaled"}, {"test-spread"}, {"test-fixed-cluster", "test-fixed"}, {"test-only-a"}} {
		plugins := []Plugin{standard()}
		for _, n := range names {
			plugins = append(plugins, registered(n))
		}
		c := newTestBed(t, plugins...)
		c.threeNodes()
		r := rand.New(rand.NewPCG(3, 4))
		for i := range 200 {
			c.put(node(fmt.Sprint("n", r.IntN(150)), fmt.Sprint(1+r.IntN(16)), "64Gi"))
			out := c.place(t, pod(fmt.Sprint("p", i), []string{"100m", "2", "12"}[r.IntN(3)]))
			if out.Fit == nil {
				checkScores(t, c, &out)
			}
			if t.Failed() {
				t.Fatalf("%v, step %d: %+v", names, i, out)
			}
		}
	}
}

func checkScores(t *testing.T, b bed, out *Outcome) {
	t.Helper()
	nodes := out.Scores.Nodes()
	if len(nodes) != min(out.Feasible, maxScored) || nodes[0].Node != out.Node || nodes[0].Score != out.Score {
		t.Errorf("%d nodes of %d are told, the first is %+v", len(nodes), out.Feasible, nodes[0])
	}
	rank := b.current.verdicts.rank.scores
	if b.current.verdicts.needsAllRows(b.instances) {
		rank = b.totals.scores
	}
	for i, n := range nodes {
		if i > 1 && n.Score > nodes[i-1].Score {
			t.Error("the best is not first")
		}
		if row, _ := b.cfg.Table.Row(n.Node); row < len(rank) && rank[row] != n.Score {
			t.Errorf("the shares of %s are %d together, its score was %d", n.Node, n.Score, rank[row])
		}
	}
}

// TestRankingTop: the rows that are told are those that sorting would give.
func TestRankingTop(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var k ranking
		n := 1 + r.IntN(400)
		k.resize(n)
		var fit []int
		for row := range n {
			if r.IntN(3) > 0 {
				k.set(row, int64(r.IntN(20)))
				fit = append(fit, row)
			}
		}
		first, _ := k.pick(r.Uint64())
		if first < 0 {
			continue
		}
		fit = slices.DeleteFunc(fit, func(row int) bool { return row == first })
		slices.SortFunc(fit, func(a, b int) int { return int(k.scores[b] - k.scores[a]) })
		want := append([]int{first}, fit...)
		want = want[:min(maxScored, len(want))]
		var rows [maxScored]int
		got := rows[:k.top(&rows, first)]
		same := len(got) == len(want) && got[0] == first
		for i := range got {
			same = same && k.scores[got[i]] == k.scores[want[i]] && !slices.Contains(got[:i], got[i]) // which of equals is all one
		}
		if !same {
			t.Fatalf("of %v: %v, want %v", k.scores, got, want)
		}
	}
}
