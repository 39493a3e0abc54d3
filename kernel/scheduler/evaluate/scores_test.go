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

// TestScoresStayAsTheyWereTold: a row that changes, a maximum that rises, other
// plugins, and verdicts whose memory serves another signature change what is told
// of later pods only.
func TestScoresStayAsTheyWereTold(t *testing.T) {
	for name, plugins := range map[string][]Plugin{
		"few":  {weighted("test-fixed", 7), weighted("test-scaled", 2), weighted("test-fixed-cluster", 5), weighted("test-normalized", 3)},
		"many": slices.Repeat([]Plugin{weighted("test-scaled", 2), weighted("test-fixed-cluster", 3), weighted("test-fixed", 7)}, fewScorers),
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestBed(t, append(plugins, standard())...)
			c.threeNodes()
			p := pod("p", "100m")
			told := c.try(t, p).Scores.Copy()
			want := told.Nodes()
			if len(want) != 3 || len(want[0].Shares) < len(plugins) {
				t.Fatalf("told is %+v", want)
			}
			check := func(after string) {
				t.Helper()
				if diff := cmp.Diff(want, told.Nodes()); diff != "" {
					t.Errorf("after %s (-told then +now):\n%s", after, diff)
				}
			}
			other := func(after string) {
				t.Helper()
				if got := c.try(t, p).Scores.Nodes(); cmp.Equal(want, got) {
					t.Errorf("%s changes no score, so nothing is tried", after)
				}
				check(after)
			}
			row, _ := c.cfg.Table.Row(want[0].Node)
			c.cfg.Table.Use(row, &p.usage, 1)
			other("a changed row")
			c.put(node("d", "64", "256Gi"))
			other("a risen maximum")
			for i := range 2 * maxSignatures {
				c.try(t, pod("q", fmt.Sprintf("%dm", 200+i)))
			}
			other("an eviction")
			if err := c.Replace("plugin-0", open(t, "plugin-0", weighted("test-fixed", 1))); err != nil {
				t.Fatal(err)
			}
			other("another plugin")
			c.cfg.Table.Remove(want[1].Node)
			other("a removed node")
		})
	}
}

// TestScoresOfNobody: where nobody scores, no scores are told, nor of the last
// pod that fitted.
func TestScoresOfNobody(t *testing.T) {
	c := newTestBed(t)
	c.threeNodes()
	if s := c.try(t, pod("p", "100m")).Scores; s.Copy().IsZero() {
		t.Error("nothing is told of a pod that fits")
	}
	if s := c.try(t, pod("q", "100")).Scores; s != nil || !s.Copy().IsZero() || s.Copy().Scorers() != nil || len(s.Copy().Nodes()) > 0 {
		t.Errorf("of a pod that fits nowhere is told %+v", s)
	}
	b := newTestBed(t, registered("test-only-a"))
	b.threeNodes()
	if out := b.try(t, pod("p", "100m")); out.Node == "" || out.Scores != nil {
		t.Errorf("nobody scores, and told is %+v", out)
	}
}

// TestRankingTop: the rows that are told are those that sorting would give.
func TestRankingTop(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var k ranking
		n, spread := 1+r.IntN(800), 1+r.IntN(2000)
		k.resize(n)
		var fit []int
		for row := range n {
			if r.IntN(3) > 0 {
				k.set(row, int64(r.IntN(spread)))
				fit = append(fit, row)
			}
		}
		var lead leaders
		first, _ := k.pick(r.Uint64(), &lead)
		if first < 0 {
			continue
		}
		fit = slices.DeleteFunc(fit, func(row int) bool { return row == first })
		slices.SortFunc(fit, func(a, b int) int { return int(k.scores[b] - k.scores[a]) })
		want := append([]int{first}, fit...)
		want = want[:min(maxScored, len(want))]
		var rows [maxScored]int
		got := rows[:k.top(&rows, first, &lead)]
		same := len(got) == len(want) && got[0] == first
		for i := range got {
			same = same && k.scores[got[i]] == k.scores[want[i]] && !slices.Contains(got[:i], got[i]) // which of equals is all one
		}
		if !same {
			t.Fatalf("of %v: %v, want %v", k.scores, got, want)
		}
	}
}
